// What assert() calls when it fails, for the whole process: the library finds this one before glibc's, because the
// linker exports an executable's symbol that a shared library asks for.
//
// One assertion is answered, every other one goes to glibc and ends the process as it should:
//
//     int log__printf(struct mosquitto *mosq, unsigned int priority, const char *fmt, ...)
//     {
//         assert(mosq);
//
// The library calls it without a client where it reads a property that it does not know, and where a PUBLISH is larger
// than the server takes. Both callers mean a log line, look at no result and go on to return an error, so the answer is
// to skip the line: this function returns for log__printf, to log__printf's caller. Exactly one frame of the library is
// left behind, and it has done nothing yet: it holds no lock and no memory. What its caller holds, its caller lets go.
// (Jumping out to the loop instead would leak the packet, and leave locked what a retransmission has locked.)
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CMosquittoGuard.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>

// Sanitizers keep books of entered functions; here is one that is left through another one's door.
#define CW_UNINSTRUMENTED __attribute__((no_sanitize("address", "thread", "undefined")))

// Frames of our own between the assertion and the unwinder's first step; there are two.
#define CW_OWN_FRAMES_MAX 8

typedef void (*assertion_function)(const char *, const char *, unsigned int, const char *);

static _Atomic uint64_t skipped;

struct walk {
    // Where the function that asserted would go on.
    uintptr_t asserting;
    // The state to go on with: of the asserting function's caller, once it is found.
    ucontext_t *context;
    int own_frames;
    bool is_past_asserting;
    bool is_found;
};

// What log__printf answers; nobody asks. The library's MOSQ_ERR_INVAL.
enum { CW_LOG_ANSWER = 3 };

// Takes over the registers that a called function has to preserve, as they were in this frame, and where it goes on.
CW_UNINSTRUMENTED static bool adopt(struct _Unwind_Context *frame, ucontext_t *context) {
#if defined(__x86_64__)
    // Register numbers of the psABI, figure 3.36.
    greg_t *registers = context->uc_mcontext.gregs;
    registers[REG_RBX] = (greg_t)_Unwind_GetGR(frame, 3);
    registers[REG_RBP] = (greg_t)_Unwind_GetGR(frame, 6);
    registers[REG_R12] = (greg_t)_Unwind_GetGR(frame, 12);
    registers[REG_R13] = (greg_t)_Unwind_GetGR(frame, 13);
    registers[REG_R14] = (greg_t)_Unwind_GetGR(frame, 14);
    registers[REG_R15] = (greg_t)_Unwind_GetGR(frame, 15);
    registers[REG_RSP] = (greg_t)_Unwind_GetCFA(frame);
    registers[REG_RIP] = (greg_t)_Unwind_GetIP(frame);
    registers[REG_RAX] = CW_LOG_ANSWER;
    return true;
#elif defined(__aarch64__)
    // x19 to x29. The preserved halves of v8 to v15 are as they were: nothing in between touches them.
    for (int number = 19; number <= 29; number++) {
        context->uc_mcontext.regs[number] = _Unwind_GetGR(frame, number);
    }
    context->uc_mcontext.sp = _Unwind_GetCFA(frame);
    context->uc_mcontext.pc = _Unwind_GetIP(frame);
    context->uc_mcontext.regs[30] = _Unwind_GetIP(frame);
    context->uc_mcontext.regs[0] = CW_LOG_ANSWER;
    return true;
#else
    (void)frame;
    (void)context;
    return false;
#endif
}

CW_UNINSTRUMENTED static _Unwind_Reason_Code step(struct _Unwind_Context *frame, void *argument) {
    struct walk *walk = argument;
    if (walk->is_past_asserting) {
        walk->is_found = adopt(frame, walk->context);
        return _URC_END_OF_STACK;
    }
    walk->is_past_asserting = _Unwind_GetIP(frame) == walk->asserting;
    walk->own_frames += 1;
    return walk->own_frames > CW_OWN_FRAMES_MAX ? _URC_END_OF_STACK : _URC_NO_REASON;
}

// Whether the address is code of the library.
CW_UNINSTRUMENTED static bool is_in_mosquitto(const void *address) {
    Dl_info asserting;
    Dl_info library;
    const void *known = dlsym(RTLD_DEFAULT, "mosquitto_lib_version");
    return known != NULL && dladdr(address, &asserting) != 0 && dladdr(known, &library) != 0
        && asserting.dli_fbase == library.dli_fbase;
}

// Comes back only if the assertion is not the one that is answered, or its caller cannot be found.
CW_UNINSTRUMENTED static void skip_log_line(const char *assertion, const char *function, const void *asserting) {
    if (assertion == NULL || function == NULL) return;
    if (strcmp(assertion, "mosq") != 0 || strcmp(function, "log__printf") != 0) return;
    if (!is_in_mosquitto(asserting)) return;
    ucontext_t context;
    if (getcontext(&context) != 0) return;
    struct walk walk = {.asserting = (uintptr_t)asserting, .context = &context};
    _Unwind_Backtrace(step, &walk);
    if (!walk.is_found) return;
    atomic_fetch_add_explicit(&skipped, 1, memory_order_relaxed);
    setcontext(&context);
}

__attribute__((used, visibility("default"))) CW_UNINSTRUMENTED void __assert_fail(
    const char *assertion,
    const char *file,
    unsigned int line,
    const char *function
) {
    skip_log_line(assertion, function, __builtin_extract_return_addr(__builtin_return_address(0)));
    assertion_function next = (assertion_function)dlsym(RTLD_NEXT, "__assert_fail");
    if (next != NULL) next(assertion, file, line, function);
    abort();
}

bool cw_mosquitto_guard_stands(void) {
    return dlsym(RTLD_DEFAULT, "__assert_fail") == (void *)__assert_fail;
}

uint64_t cw_mosquitto_guard_count(void) {
    return atomic_load_explicit(&skipped, memory_order_relaxed);
}
