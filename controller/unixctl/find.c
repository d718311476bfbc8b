#include "controller/unixctl/find.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PROGRAM "ovs-vswitchd"

static bool
is_socket(const char *path, struct timespec *ret_time)
{
    struct stat status;
    if (stat(path, &status) || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    *ret_time = status.st_mtim;
    return true;
}

/* Joins 'directory' and 'name' if that fits. */
static bool
join(const char *directory, const char *name, char out[SP_UNIXCTL_PATH_SIZE])
{
    return snprintf(out, SP_UNIXCTL_PATH_SIZE, "%s/%s", directory, name) < SP_UNIXCTL_PATH_SIZE;
}

/* The socket of the process whose id stands in the directory. */
static bool
find_by_pid(const char *directory, char out[SP_UNIXCTL_PATH_SIZE])
{
    char path[SP_UNIXCTL_PATH_SIZE], line[32] = "", name[64];
    struct timespec time;
    FILE *file = join(directory, PROGRAM ".pid", path) ? fopen(path, "re") : NULL;
    bool has_line = file && fgets(line, sizeof line, file);
    if (file) {
        fclose(file);
    }
    size_t len = strspn(line, "0123456789");
    if (!has_line || !len || (line[len] && line[len] != '\n')) {
        return false;
    }
    line[len] = '\0';
    snprintf(name, sizeof name, PROGRAM ".%s.ctl", line);
    return join(directory, name, out) && is_socket(out, &time);
}

static bool
is_younger(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static bool
find_youngest(const char *directory, char out[SP_UNIXCTL_PATH_SIZE])
{
    static const char prefix[] = PROGRAM ".", suffix[] = ".ctl";
    struct timespec youngest = {0}, time;
    bool found = false;
    DIR *entries = opendir(directory);
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        char path[SP_UNIXCTL_PATH_SIZE];
        size_t len = strlen(entry->d_name);
        if (len >= sizeof suffix && !strncmp(entry->d_name, prefix, sizeof prefix - 1) &&
            !strcmp(entry->d_name + len - (sizeof suffix - 1), suffix) && join(directory, entry->d_name, path) &&
            is_socket(path, &time) && (!found || is_younger(&time, &youngest))) {
            youngest = time;
            memcpy(out, path, sizeof path);
            found = true;
        }
    }
    if (entries) {
        closedir(entries);
    }
    return found;
}

int
sp_unixctl_find(const char *path, char ret[SP_UNIXCTL_PATH_SIZE], char *why, size_t why_size)
{
    struct stat status;
    if (stat(path, &status)) {
        snprintf(why, why_size, "%s", strerror(errno));
        return SP_E_MISSING;
    }
    if (S_ISSOCK(status.st_mode) && strlen(path) < SP_UNIXCTL_PATH_SIZE) {
        snprintf(ret, SP_UNIXCTL_PATH_SIZE, "%s", path);
        return 0;
    }
    if (S_ISDIR(status.st_mode) && (find_by_pid(path, ret) || find_youngest(path, ret))) {
        return 0;
    }
    snprintf(why, why_size, "%s", S_ISDIR(status.st_mode) ? "no control socket of " PROGRAM " is there" : "not a socket");
    return SP_E_MISSING;
}
