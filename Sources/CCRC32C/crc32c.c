#include "CCRC32C.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

// The Castagnoli polynomial, bit-reversed.
#define POLYNOMIAL 0x82f63b78u

typedef uint32_t (*update_function)(uint32_t crc, const uint8_t *data, size_t length);

static uint32_t tables[8][256];
static update_function chosen;
static const char *chosen_name;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t load_little_endian(const uint8_t *data) {
    uint64_t word;
    memcpy(&word, data, sizeof word);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static void build_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) ? POLYNOMIAL : 0);
        }
        tables[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int slice = 1; slice < 8; slice++) {
            uint32_t previous = tables[slice - 1][byte];
            tables[slice][byte] = (previous >> 8) ^ tables[0][previous & 0xff];
        }
    }
}

// Slicing-by-8: eight bytes a step, one look-up for each of them.
static uint32_t update_tables(uint32_t crc, const uint8_t *data, size_t length) {
    while (length >= 8) {
        uint64_t word = load_little_endian(data) ^ crc;
        crc = tables[7][word & 0xff] ^ tables[6][(word >> 8) & 0xff] ^ tables[5][(word >> 16) & 0xff] ^
              tables[4][(word >> 24) & 0xff] ^ tables[3][(word >> 32) & 0xff] ^ tables[2][(word >> 40) & 0xff] ^
              tables[1][(word >> 48) & 0xff] ^ tables[0][word >> 56];
        data += 8;
        length -= 8;
    }
    while (length-- > 0) {
        crc = (crc >> 8) ^ tables[0][(crc ^ *data++) & 0xff];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t update_sse42(uint32_t crc, const uint8_t *data, size_t length) {
    uint64_t wide = crc;
    while (length >= 8) {
        wide = _mm_crc32_u64(wide, load_little_endian(data));
        data += 8;
        length -= 8;
    }
    uint32_t narrow = (uint32_t)wide;
    while (length-- > 0) {
        narrow = _mm_crc32_u8(narrow, *data++);
    }
    return narrow;
}
#elif defined(__aarch64__)
__attribute__((target("crc"))) static uint32_t update_armv8(uint32_t crc, const uint8_t *data, size_t length) {
    while (length >= 8) {
        crc = __crc32cd(crc, load_little_endian(data));
        data += 8;
        length -= 8;
    }
    while (length-- > 0) {
        crc = __crc32cb(crc, *data++);
    }
    return crc;
}
#endif

static void choose(void) {
    build_tables();
    chosen = update_tables;
    chosen_name = "tables";
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        chosen = update_sse42;
        chosen_name = "sse4.2";
    }
#elif defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & HWCAP_CRC32) {
        chosen = update_armv8;
        chosen_name = "armv8-crc";
    }
#elif defined(__aarch64__) && defined(__APPLE__)
    // Every ARM processor Apple ships for the systems this builds on has it.
    chosen = update_armv8;
    chosen_name = "armv8-crc";
#endif
}

uint32_t ccrc32c_update(uint32_t crc, const void *data, size_t length) {
    pthread_once(&once, choose);
    return ~chosen(~crc, data, length);
}

uint32_t ccrc32c_update_portable(uint32_t crc, const void *data, size_t length) {
    pthread_once(&once, choose);
    return ~update_tables(~crc, data, length);
}

const char *ccrc32c_implementation(void) {
    pthread_once(&once, choose);
    return chosen_name;
}

size_t ccrc32c_zero_prefix(const void *data, size_t length) {
    const uint8_t *bytes = data;
    size_t count = 0;
    while (length - count >= 32) {
        uint64_t words[4];
        memcpy(words, bytes + count, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) != 0) {
            break;
        }
        count += sizeof words;
    }
    while (count < length && bytes[count] == 0) {
        count++;
    }
    return count;
}
