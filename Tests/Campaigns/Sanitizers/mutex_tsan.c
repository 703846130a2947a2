#define _GNU_SOURCE
// Tells ThreadSanitizer of what Swift's Mutex orders. Its fast path is compiled into the program, where the sanitizer
// sees the atomics; its slow path (contention) is in libswiftSynchronization, which is not instrumented, and without
// this every contended lock looks like a race. No report is suppressed.
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

SWIFT void lockSlow(uint32_t thread, SELF void *self) __asm__(LOCK);
SWIFT bool tryLockSlow(SELF void *self) __asm__(TRY);
SWIFT void unlockSlow(SELF void *self) __asm__(UNLOCK);

SWIFT void lockSlow(uint32_t thread, SELF void *self) {
    SWIFT void (*original)(uint32_t, SELF void *) = dlsym(RTLD_NEXT, LOCK);
    original(thread, self);
    if (__tsan_acquire) __tsan_acquire(self);
}

SWIFT bool tryLockSlow(SELF void *self) {
    SWIFT bool (*original)(SELF void *) = dlsym(RTLD_NEXT, TRY);
    bool locked = original(self);
    if (locked && __tsan_acquire) __tsan_acquire(self);
    return locked;
}

SWIFT void unlockSlow(SELF void *self) {
    SWIFT void (*original)(SELF void *) = dlsym(RTLD_NEXT, UNLOCK);
    if (__tsan_release) __tsan_release(self);
    original(self);
}
