#ifndef FUZZ_MAIN_H
#define FUZZ_MAIN_H

// SwiftPM calls the main function of an executable by the name of its target.
#define FUZZERS(each) \
    each(FuzzPackets) each(FuzzTopics) each(FuzzText) each(FuzzCore) each(FuzzAccess) each(FuzzConfiguration) \
    each(FuzzTransport)

#define DECLARE(name) int name##_main(int argc, char **argv);
FUZZERS(DECLARE)

#endif
