/*
 * Counts what a program asks of the C library: heap allocations and locks. Loaded before it:
 *
 *     LD_PRELOAD=libcount.so COUNT_FILE=counts.json program …
 *
 * When the program ends, the counts of all its threads are in COUNT_FILE, as one line of JSON. The Swift runtime allocates with
 * malloc and posix_memalign, also the slabs that tasks allocate from; so does libuv. Locks of the package are POSIX mutexes, as are
 * the runtime's: one that a task takes on its own status is recursive, which tells it from every other.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned long allocations, task_locks, other_locks;

static void one_more(unsigned long *count) { __atomic_add_fetch(count, 1, __ATOMIC_RELAXED); }

/* The C library's own names for what is defined here, so that nothing has to be looked up before memory can be had. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    one_more(&allocations);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    one_more(&allocations);
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    one_more(&allocations);
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    one_more(&allocations);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
    void *fresh = memalign(alignment, size);
    if (fresh == NULL) return ENOMEM;
    *memory = fresh;
    return 0;
}

/* The C library's function of this name; looked up at each first use, by any thread: all find the same. */
static void *original(void **known, const char *name) {
    void *function = __atomic_load_n(known, __ATOMIC_ACQUIRE);
    if (function == NULL) {
        function = dlsym(RTLD_NEXT, name);
        if (function == NULL) abort();
        __atomic_store_n(known, function, __ATOMIC_RELEASE);
    }
    return function;
}

static void count_lock(const pthread_mutex_t *mutex) {
    /* The lowest bits are the mutex's type, as glibc's <struct_mutex.h> and PTHREAD_MUTEX_RECURSIVE_NP have it. */
    one_more((mutex->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE ? &task_locks : &other_locks);
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    static void *known;
    count_lock(mutex);
    return ((int (*)(pthread_mutex_t *))original(&known, "pthread_mutex_lock"))(mutex);
}

int pthread_mutex_trylock(pthread_mutex_t *mutex) {
    static void *known;
    count_lock(mutex);
    return ((int (*)(pthread_mutex_t *))original(&known, "pthread_mutex_trylock"))(mutex);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *lock) {
    static void *known;
    one_more(&other_locks);
    return ((int (*)(pthread_rwlock_t *))original(&known, "pthread_rwlock_rdlock"))(lock);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    static void *known;
    one_more(&other_locks);
    return ((int (*)(pthread_rwlock_t *))original(&known, "pthread_rwlock_wrlock"))(lock);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("COUNT_FILE");
    if (path == NULL) return;
    unsigned long counted[] = {allocations, task_locks, other_locks};
    FILE *file = fopen(path, "w");
    if (file == NULL) return perror(path);
    fprintf(file, "{\"allocations\": %lu, \"task_locks\": %lu, \"other_locks\": %lu}\n", counted[0], counted[1], counted[2]);
    fclose(file);
}
