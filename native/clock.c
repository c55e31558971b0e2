#include "clock.h"

#include <time.h>

int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

#ifdef __linux__

#include <sys/timerfd.h>

int clock_open(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

int clock_set(int fd, double seconds)
{
    struct itimerspec at = {{0, 0}, {0, 1}}; /* all zeros would switch it off */
    if (seconds > 1e9)
        seconds = 1e9;
    if (seconds > 0) {
        at.it_value.tv_sec = (time_t)seconds;
        at.it_value.tv_nsec = (long)((seconds - (double)at.it_value.tv_sec) * 1e9) | 1;
    }
    return timerfd_settime(fd, 0, &at, NULL);
}

#else

int clock_open(void)
{
    return -1;
}

int clock_set(int fd, double seconds)
{
    (void)fd, (void)seconds;
    return -1;
}

#endif
