/* The time; and a timer that is waited for like a socket: Linux's timerfd, which Python has only from
 * 3.13 on. */
#ifndef RELAY_CLOCK_H
#define RELAY_CLOCK_H

#include <stdint.h>

enum { SECOND = 1000000000 }; /* in ns */

/* The monotonic clock's time in ns. */
int64_t clock_ns(void);

/* A descriptor that becomes readable when its time has come; -1 where there is no such thing. */
int clock_open(void);

/* Have it become readable in so many seconds, and not before: at once if that is 0 or less. Returns 0,
 * or -1 for what is no such descriptor. */
int clock_set(int fd, double seconds);

#endif
