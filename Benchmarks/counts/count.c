/*
 * Counts what a program asks of the C library: heap allocations, locks, and reads, writes and polls of descriptors. Loaded before it:
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static unsigned long allocations, task_locks, other_locks, reads, writes, polls;

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

/* Defines a function that is counted and does what the C library's of that name does. */
#define COUNTED(result, name, parameters, arguments, count)                                                             \
    result name parameters {                                                                                           \
        static void *known;                                                                                            \
        one_more(count);                                                                                               \
        return ((result(*) parameters)original(&known, #name)) arguments;                                              \
    }

/* The lowest bits are the mutex's type, as glibc's <struct_mutex.h> and PTHREAD_MUTEX_RECURSIVE_NP have it. */
static unsigned long *count_of(const pthread_mutex_t *mutex) {
    return (mutex->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE ? &task_locks : &other_locks;
}

COUNTED(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex), count_of(mutex))
COUNTED(int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex), count_of(mutex))
COUNTED(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock), &other_locks)
COUNTED(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock), &other_locks)

/* Those that libuv and the package call. */
COUNTED(ssize_t, read, (int fd, void *bytes, size_t count), (fd, bytes, count), &reads)
COUNTED(ssize_t, readv, (int fd, const struct iovec *pieces, int count), (fd, pieces, count), &reads)
COUNTED(ssize_t, recv, (int fd, void *bytes, size_t count, int flags), (fd, bytes, count, flags), &reads)
COUNTED(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), &reads)
COUNTED(ssize_t, write, (int fd, const void *bytes, size_t count), (fd, bytes, count), &writes)
COUNTED(ssize_t, writev, (int fd, const struct iovec *pieces, int count), (fd, pieces, count), &writes)
COUNTED(ssize_t, send, (int fd, const void *bytes, size_t count, int flags), (fd, bytes, count, flags), &writes)
COUNTED(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), &writes)
COUNTED(int, epoll_wait, (int fd, struct epoll_event *events, int most, int milliseconds), (fd, events, most, milliseconds),
        &polls)
COUNTED(int, epoll_pwait,
        (int fd, struct epoll_event *events, int most, int milliseconds, const sigset_t *signals),
        (fd, events, most, milliseconds, signals), &polls)

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("COUNT_FILE");
    if (path == NULL) return;
    const struct {
        const char *name;
        unsigned long count;
    } counts[] = {{"allocations", allocations}, {"task_locks", task_locks}, {"other_locks", other_locks},
                  {"reads", reads},             {"writes", writes},         {"polls", polls}};
    FILE *file = fopen(path, "w");
    if (file == NULL) return perror(path);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        fprintf(file, "%s\"%s\": %lu", i == 0 ? "{" : ", ", counts[i].name, counts[i].count);
    fputs("}\n", file);
    fclose(file);
}
