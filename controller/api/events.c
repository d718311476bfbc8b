#include "controller/api/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_SIZE 40

struct sp_subscriber {
    struct sp_events *events;
    struct sp_subscriber *prev, *next;
    void *sink;
    bool is_deaf; /* Not begun yet, or given up. */
};

struct event {
    char *text;
    size_t size;
};

struct sp_events {
    uint64_t run;
    sp_events_write *write;
    struct sp_subscriber *subscribers;
    struct event history[SP_EVENTS_HISTORY_MAX]; /* Event 'n' at n % SP_EVENTS_HISTORY_MAX. */
    uint64_t first;                              /* Numbers of the events in it: first <= n < next. */
    uint64_t next;
    size_t history_size;
    struct sp_events_counters counters;
};

struct sp_events *
sp_events_new(uint64_t run, sp_events_write *write)
{
    struct sp_events *events = calloc(1, sizeof *events);
    if (events) {
        events->run = run;
        events->write = write;
        events->first = events->next = 1;
    }
    return events;
}

static void
forget_oldest(struct sp_events *events)
{
    struct event *event = &events->history[events->first++ % SP_EVENTS_HISTORY_MAX];
    events->history_size -= event->size;
    free(event->text);
    event->text = NULL;
    event->size = 0;
}

void
sp_events_free(struct sp_events *events)
{
    if (!events) {
        return;
    }
    struct sp_subscriber *next;
    for (struct sp_subscriber *subscriber = events->subscribers; subscriber; subscriber = next) {
        next = subscriber->next;
        free(subscriber);
    }
    while (events->first < events->next) {
        forget_oldest(events);
    }
    free(events);
}

static void
write_to(struct sp_subscriber *subscriber, const char *text, size_t size)
{
    struct sp_events *events = subscriber->events;
    if (!subscriber->is_deaf && events->write(subscriber->sink, text, size)) {
        subscriber->is_deaf = true;
        events->counters.n_dropped++;
    }
}

/* Takes over 'text', the event with the number 'next'. */
static void
keep(struct sp_events *events, char *text, size_t size)
{
    while (events->first < events->next && (events->next - events->first >= SP_EVENTS_HISTORY_MAX ||
                                            events->history_size + size > SP_EVENTS_HISTORY_SIZE)) {
        forget_oldest(events);
    }
    events->history[events->next % SP_EVENTS_HISTORY_MAX] = (struct event){text, size};
    events->history_size += size;
    events->next++;
}

/* A whole event, made by malloc(); NULL: no memory. */
static char *
format(const struct sp_events *events, uint64_t number, const char *name, const char *data, size_t *ret_size)
{
    char *text;
    int size = asprintf(&text, "id: %016" PRIx64 "-%" PRIu64 "\nevent: %s\ndata: %s\n\n", events->run, number, name, data);
    *ret_size = size < 0 ? 0 : (size_t) size;
    return size < 0 ? NULL : text;
}

void
sp_events_tell(struct sp_events *events, const char *name, const char *data)
{
    size_t size;
    char *text = format(events, events->next, name, data, &size);
    events->counters.n_told++;
    if (!text) {
        /* Those who listen are to come back, and to find that they have missed something. */
        while (events->first < events->next) {
            forget_oldest(events);
        }
        events->first = ++events->next;
        for (struct sp_subscriber *s = events->subscribers; s; s = s->next) {
            write_to(s, NULL, SIZE_MAX);
        }
        return;
    }
    keep(events, text, size);
    for (struct sp_subscriber *s = events->subscribers; s; s = s->next) {
        write_to(s, text, size);
    }
}

void
sp_events_mention(struct sp_events *events, const char *name, const char *data)
{
    char *text;
    int size = asprintf(&text, "event: %s\ndata: %s\n\n", name, data);
    events->counters.n_told++;
    for (struct sp_subscriber *s = events->subscribers; s && size > 0; s = s->next) {
        write_to(s, text, (size_t) size);
    }
    if (size >= 0) {
        free(text);
    }
}

int
sp_events_join(struct sp_events *events, struct sp_subscriber **ret)
{
    if (events->counters.n_subscribers >= SP_EVENTS_SUBSCRIBERS_MAX) {
        return SP_E_FULL;
    }
    struct sp_subscriber *subscriber = calloc(1, sizeof *subscriber);
    if (!subscriber) {
        return -ENOMEM;
    }
    subscriber->events = events;
    subscriber->is_deaf = true;
    subscriber->next = events->subscribers;
    if (subscriber->next) {
        subscriber->next->prev = subscriber;
    }
    events->subscribers = subscriber;
    events->counters.n_subscribers++;
    *ret = subscriber;
    return 0;
}

/* The number of the event that 'id' names, of this run and still followed by all that came after; else false. */
static bool
find_last(const struct sp_events *events, const char *id, uint64_t *ret)
{
    char *end, again[ID_SIZE];
    size_t run_len = strspn(id, "0123456789abcdef");
    if (run_len != 16 || id[16] != '-' || strlen(id) >= sizeof again) {
        return false;
    }
    uint64_t number = strtoull(id + 17, &end, 10);
    snprintf(again, sizeof again, "%016" PRIx64 "-%" PRIu64, events->run, number);
    if (strcmp(id, again) || number + 1 < events->first || number >= events->next) {
        return false;
    }
    *ret = number;
    return true;
}

void
sp_events_begin(struct sp_subscriber *subscriber, void *sink, const char *last_id, uint64_t revision)
{
    struct sp_events *events = subscriber->events;
    uint64_t last = events->next - 1;
    bool is_missing = last_id && !find_last(events, last_id, &last);
    char data[48];
    snprintf(data, sizeof data, "{\"revision\":%" PRIu64 "}", revision);
    subscriber->sink = sink;
    subscriber->is_deaf = false;
    size_t size;
    char *text = format(events, last, is_missing ? "reset" : "ready", data, &size);
    write_to(subscriber, text, text ? size : SIZE_MAX);
    free(text);
    for (uint64_t number = last + 1; number < events->next; number++) {
        const struct event *event = &events->history[number % SP_EVENTS_HISTORY_MAX];
        write_to(subscriber, event->text, event->size);
    }
}

void
sp_events_leave(struct sp_subscriber *subscriber)
{
    struct sp_events *events = subscriber->events;
    if (subscriber->prev) {
        subscriber->prev->next = subscriber->next;
    } else {
        events->subscribers = subscriber->next;
    }
    if (subscriber->next) {
        subscriber->next->prev = subscriber->prev;
    }
    events->counters.n_subscribers--;
    free(subscriber);
}

void
sp_events_counters(const struct sp_events *events, struct sp_events_counters *ret)
{
    *ret = events->counters;
}
