#include "controller/service.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/obs/log.h"

void
sp_service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof address.sun_path) {
        return;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (*path == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *) &address, size) < 0) {
        sp_log(SP_LOG_WARNING, "service", "cannot tell the service manager: %s", strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void
on_watchdog(uv_timer_t *timer)
{
    sp_service_notify("WATCHDOG=1");
}

void
sp_service_watch(uv_loop_t *loop, uv_timer_t *timer)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t interval_ms = usec ? strtoull(usec, NULL, 10) / 2000 : 0;
    uv_timer_init(loop, timer);
    if (interval_ms && (!pid || strtoll(pid, NULL, 10) == getpid())) {
        uv_timer_start(timer, on_watchdog, interval_ms, interval_ms);
    }
}
