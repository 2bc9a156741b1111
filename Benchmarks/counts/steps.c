/*
 * Counts the instructions that a program's busiest thread executes outside the kernel from one write to the next, and how many
 * of them lock memory against other processors, by stepping through them one at a time:
 *
 *     count-steps TURNS program …
 *
 * It starts the program, lets it run until a thread has used a third of a second, steps through TURNS writes of that thread, ends
 * the program and prints one line of JSON: the medians of a turn. What a processor makes of the same instructions, or how busy it
 * is, does not change them. The thread runs a thousand times slower meanwhile: timers that it waits for are disarmed first. It
 * ends with status 3 where the system does not let a program be traced, or the program does not last that long.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the instructions of this processor are not known here"
#endif

static pid_t program;
enum { failed = 1, refused = 3 };

static void die(int status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("count-steps: ", stderr);
    vfprintf(stderr, format, values);
    va_end(values);
    if (errno != 0) fprintf(stderr, ": %s", strerror(errno));
    fputc('\n', stderr);
    if (program > 0) kill(program, SIGKILL);
    exit(status);
}

/* MARK: The thread */

/* How much processor time a thread has used, in ticks of the kernel's accounting; source: proc_pid_stat(5). */
static long ticks_of(const char *thread) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", program, thread);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    long user = 0, system = 0;
    /* The name, in parentheses, may hold anything. */
    const char *rest = strrchr(text, ')');
    if (rest == NULL || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system) != 2) return 0;
    return user + system;
}

static pid_t busiest_thread(long *ticks) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", program);
    DIR *threads = opendir(path);
    if (threads == NULL) die(failed, "%s", path);
    pid_t busiest = 0;
    *ticks = -1;
    for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        long used = ticks_of(entry->d_name);
        if (used > *ticks) busiest = atoi(entry->d_name), *ticks = used;
    }
    closedir(threads);
    return busiest;
}

static pid_t warm_thread(void) {
    const struct timespec pause = {.tv_nsec = 10000000};
    for (int round = 0; round < 3000; round++) {
        if (waitpid(program, NULL, WNOHANG) == program) errno = 0, program = 0, die(failed, "the program ended before it was warm: see its words above, or give it more to do");
        long ticks;
        pid_t thread = busiest_thread(&ticks);
        if (ticks >= sysconf(_SC_CLK_TCK) / 3) return thread;
        nanosleep(&pause, NULL);
    }
    errno = 0;
    die(failed, "no thread of the program has got busy within half a minute");
    return 0;
}

/* Timers that come by a descriptor never come again. */
static void disarm_timers(void) {
    char path[64], link[96], target[64];
    snprintf(path, sizeof path, "/proc/%d/fd", program);
    DIR *descriptors = opendir(path);
    int process = (int)syscall(SYS_pidfd_open, program, 0);
    if (descriptors == NULL || process < 0) die(refused, "the program's descriptors cannot be seen");
    for (struct dirent *entry; (entry = readdir(descriptors)) != NULL;) {
        snprintf(link, sizeof link, "%s/%.16s", path, entry->d_name);
        ssize_t length = readlink(link, target, sizeof target - 1);
        if (length < 0) continue;
        target[length] = 0;
        if (strstr(target, "[timerfd]") == NULL) continue;
        int timer = (int)syscall(SYS_pidfd_getfd, process, atoi(entry->d_name), 0);
        const struct itimerspec never = {0};
        if (timer < 0 || timerfd_settime(timer, 0, &never, NULL) < 0) die(refused, "a timer cannot be disarmed");
        close(timer);
    }
    closedir(descriptors);
    close(process);
}

/* MARK: Its instructions */

enum { page_size = 4096, slots = 4096 };
static struct {
    uint64_t page;
    uint8_t bytes[page_size];
} *pages;

static const uint8_t *page_at(uint64_t page) {
    size_t slot = (page / page_size) % slots;
    if (pages[slot].page != page) {
        struct iovec here = {pages[slot].bytes, page_size}, there = {(void *)page, page_size};
        if (process_vm_readv(program, &here, 1, &there, 1, 0) != page_size) memset(pages[slot].bytes, 0x90, page_size);
        pages[slot].page = page;
    }
    return pages[slot].bytes;
}

/* The first bytes of an instruction. */
static void fetch(uint64_t address, uint8_t bytes[6]) {
    for (int i = 0; i < 6; i++) bytes[i] = page_at((address + i) & ~(uint64_t)(page_size - 1))[(address + i) % page_size];
}

/* A lock prefix, or an exchange with memory, which needs none. Source: "LOCK" and "XCHG" in the processor's manual. */
static int locks(const uint8_t *byte) {
    while (*byte == 0x66 || *byte == 0xf2 || *byte == 0xf3) byte++;
    if (*byte == 0xf0) return 1;
    if ((*byte & 0xf0) == 0x40) byte++;
    return (*byte == 0x86 || *byte == 0x87) && (byte[1] & 0xc0) != 0xc0;
}

static int writes(long call) { return call == SYS_write || call == SYS_writev || call == SYS_sendto || call == SYS_sendmsg; }

static void step(pid_t thread) {
    int status;
    if (ptrace(PTRACE_SINGLESTEP, thread, 0, 0) < 0) die(failed, "the program cannot be stepped through");
    if (waitpid(thread, &status, __WALL) < 0 || !WIFSTOPPED(status)) errno = 0, die(refused, "the program ended while it was stepped through: give it more to do, or more time");
}

static int by_size(const void *a, const void *b) {
    long left = *(const long *)a, right = *(const long *)b;
    return (left > right) - (left < right);
}

static long median(long *counts, int count) {
    qsort(counts, count, sizeof *counts, by_size);
    return counts[count / 2];
}

int main(int count, char **arguments) {
    int turns = count > 2 ? atoi(arguments[1]) : 0;
    if (turns < 1) {
        fputs("usage: count-steps TURNS program …\n", stderr);
        return 2;
    }
    program = fork();
    if (program == 0) {
        execvp(arguments[2], arguments + 2);
        perror(arguments[2]);
        _exit(1);
    }
    pages = calloc(slots, sizeof *pages);
    long *instructions = calloc(turns, sizeof *instructions), *locked = calloc(turns, sizeof *locked);
    if (program < 0 || pages == NULL || instructions == NULL || locked == NULL) die(failed, "no memory, or no process");

    pid_t thread = warm_thread();
    int status;
    /* The program ends with this one, however that ends. */
    if (ptrace(PTRACE_SEIZE, thread, 0, PTRACE_O_EXITKILL) < 0 || ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0 || waitpid(thread, &status, __WALL) < 0)
        die(refused, "the program cannot be traced");
    disarm_timers();

    /* The first write only begins a turn, and what it began may have had a timer's work in it. */
    for (int turn = -2; turn < turns;) {
        uint8_t bytes[6];
        uint64_t address = (uint64_t)ptrace(PTRACE_PEEKUSER, thread, offsetof(struct user_regs_struct, rip), 0);
        fetch(address, bytes);
        if (bytes[0] == 0x0f && bytes[1] == 0x05 && writes(ptrace(PTRACE_PEEKUSER, thread, offsetof(struct user_regs_struct, rax), 0)))
            turn++;
        if (turn >= 0 && turn < turns) {
            instructions[turn]++;
            locked[turn] += locks(bytes);
        }
        step(thread);
    }
    kill(program, SIGKILL);
    /* The thread that was stepped through has an end of its own. */
    while (waitpid(-1, NULL, __WALL) > 0) continue;
    printf("{\"turns\": %d, \"instructions\": %ld, \"locked\": %ld}\n", turns, median(instructions, turns), median(locked, turns));
    return 0;
}
