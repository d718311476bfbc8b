#include "controller/unixctl/unixctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "controller/obs/log.h"
#include "controller/unixctl/find.h"

#define PREFIX "unix:"
#define READ_SIZE (64u << 10)

/* One socket that is asked a question.  Its memory is its question's. */
struct attempt {
    struct question *question;
    const char *method;
    uv_work_t search;
    uv_pipe_t pipe;
    uv_connect_t connect;
    bool has_pipe;      /* Not closing. */
    bool is_over;       /* It has come to its end, whatever that is. */
    char path[SP_UNIXCTL_PATH_SIZE];
    struct sp_inquiry inquiry;
    char why[200];      /* Why it could not be asked; "": it could. */
};

struct question {
    struct question *next;
    struct sp_unixctl *unixctl;
    uv_timer_t timer;
    unsigned n_busy;    /* Handles and searches that are not through yet. */
    bool has_ended;
    uint64_t patient_until_ms; /* It waits for the end of a rest at most until then, by the loop's clock. */
    struct attempt *winner; /* Whose switch has shown that it is the port's; NULL: none yet. */
    sp_unixctl_done *done;
    void *aux;
    size_t n_attempts;
    struct attempt attempts[];
};

struct sp_unixctl {
    uv_loop_t *loop;
    struct question *questions; /* That have not been freed. */
    size_t n_open;              /* Those of them that have not ended. */
    bool is_closed;
    unsigned timeout_ms;
    uint64_t rest_until_ms;     /* Of the loop's clock; 0: nobody has had to work hard yet. */
    size_t n;
    char **methods;
    char complaint[320];        /* The last one that was logged. */
    char buffer[READ_SIZE];     /* Of whoever reads: what is in it is taken before anybody else reads. */
};

static void attempt_over(struct attempt *, const char *why);

int
sp_unixctl_check(const char *method, char *why, size_t why_size)
{
    const char *path = method + strlen(PREFIX);
    if (strncmp(method, PREFIX, strlen(PREFIX)) || !*path) {
        snprintf(why, why_size, "must be unix:PATH, of a control socket or of the directory with it");
        return SP_E_SYNTAX;
    }
    if (strlen(path) >= SP_UNIXCTL_PATH_SIZE) {
        snprintf(why, why_size, "the path of a unix socket has at most %d bytes", SP_UNIXCTL_PATH_SIZE - 1);
        return SP_E_SYNTAX;
    }
    return 0;
}

static void
free_unixctl(struct sp_unixctl *unixctl)
{
    for (size_t i = 0; i < unixctl->n; i++) {
        free(unixctl->methods[i]);
    }
    free(unixctl->methods);
    free(unixctl);
}

struct sp_unixctl *
sp_unixctl_new(uv_loop_t *loop, char *const *methods, size_t n, unsigned timeout_ms)
{
    struct sp_unixctl *unixctl = n <= SP_UNIXCTL_SOCKETS_MAX ? calloc(1, sizeof *unixctl) : NULL;
    if (!unixctl) {
        return NULL;
    }
    unixctl->loop = loop;
    unixctl->timeout_ms = timeout_ms;
    unixctl->methods = calloc(n + 1, sizeof *unixctl->methods);
    for (size_t i = 0; unixctl->methods && i < n; i++) {
        unixctl->methods[i] = strdup(methods[i]);
        if (!unixctl->methods[i]) {
            break;
        }
        unixctl->n++;
    }
    if (!unixctl->methods || unixctl->n < n) {
        free_unixctl(unixctl);
        return NULL;
    }
    return unixctl;
}

size_t
sp_unixctl_count(const struct sp_unixctl *unixctl)
{
    return unixctl->n;
}

/* One thing less is under way. */
static void
release(struct question *question)
{
    struct sp_unixctl *unixctl = question->unixctl;
    if (--question->n_busy) {
        return;
    }
    struct question **at = &unixctl->questions;
    while (*at != question) {
        at = &(*at)->next;
    }
    *at = question->next;
    for (size_t i = 0; i < question->n_attempts; i++) {
        sp_inquiry_clear(&question->attempts[i].inquiry);
    }
    free(question);
    if (unixctl->is_closed && !unixctl->questions) {
        free_unixctl(unixctl);
    }
}

static void
on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void
on_pipe_closed(uv_handle_t *handle)
{
    const struct attempt *attempt = handle->data;
    release(attempt->question);
}

static void
let_go(struct attempt *attempt)
{
    attempt->is_over = true;
    if (attempt->has_pipe) {
        attempt->has_pipe = false;
        uv_close((uv_handle_t *) &attempt->pipe, on_pipe_closed);
    }
}

static void
end_with(struct question *question, const struct sp_unixctl_answer *answer)
{
    question->has_ended = true;
    question->unixctl->n_open--;
    question->done(question->aux, answer);
    for (size_t i = 0; i < question->n_attempts; i++) {
        let_go(&question->attempts[i]);
    }
    uv_close((uv_handle_t *) &question->timer, on_timer_closed);
}

/* Logs why a socket cannot be asked, unless that was the last that was logged. */
static void
complain(struct sp_unixctl *unixctl, const char *method, const char *why)
{
    char text[sizeof unixctl->complaint];
    snprintf(text, sizeof text, "%s: %s", method, why);
    if (strcmp(text, unixctl->complaint)) {
        memcpy(unixctl->complaint, text, sizeof text);
        sp_log(SP_LOG_WARNING, "unixctl", "%s", text);
    }
}

/* What has come of 'question', if all its sockets are through or the one that counts is, or, with 'is_late', its time. */
static void
conclude(struct question *question, bool is_late)
{
    struct sp_unixctl_answer answer = {.end = SP_UNIXCTL_STRANGER, .why = ""};
    const struct attempt *winner = question->winner;
    struct sp_unixctl *unixctl = question->unixctl;
    char silence[40];
    snprintf(silence, sizeof silence, "no answer in %u s", (unixctl->timeout_ms + 999) / 1000);
    for (size_t i = 0; i < question->n_attempts; i++) {
        const struct attempt *attempt = &question->attempts[i];
        if (winner && attempt != winner) {
            continue;
        }
        if (!attempt->is_over && !is_late) {
            return;
        }
        if (!attempt->is_over) {
            answer.end = SP_UNIXCTL_SILENT;
            answer.why = silence;
            complain(unixctl, attempt->method, silence);
        } else if (*attempt->why && answer.end == SP_UNIXCTL_STRANGER) {
            answer.end = SP_UNIXCTL_FAILED;
            answer.why = attempt->why;
            complain(unixctl, attempt->method, attempt->why);
        }
    }
    if (winner && winner->inquiry.n_in_zone >= SP_UNIXCTL_REST_MIN) {
        uint64_t n = winner->inquiry.n_in_zone < SP_INQUIRY_ZONE_MAX ? winner->inquiry.n_in_zone : SP_INQUIRY_ZONE_MAX;
        unixctl->rest_until_ms = uv_now(unixctl->loop) + n * SP_UNIXCTL_REST_US / 1000;
    }
    if (winner && winner->is_over && !*winner->why) {
        const struct sp_inquiry *inquiry = &winner->inquiry;
        answer = (struct sp_unixctl_answer){
            .end = inquiry->state == SP_INQUIRY_DONE ? SP_UNIXCTL_DONE : SP_UNIXCTL_TOO_MANY,
            .connections = inquiry->connections,
            .n = inquiry->n,
            .more = inquiry->more,
            .n_in_zone = inquiry->n_in_zone,
            .why = "",
        };
    }
    end_with(question, &answer);
}

/* 'attempt' has come to its end: with what its inquiry says, or because of 'why'. */
static void
attempt_over(struct attempt *attempt, const char *why)
{
    if (!attempt->is_over) {
        snprintf(attempt->why, sizeof attempt->why, "%s", why);
        let_go(attempt);
        conclude(attempt->question, false);
    }
}

/* Sends what there is to ask; a request is so short that a socket which does not take it is not read by anybody. */
static void
send_request(struct attempt *attempt)
{
    char text[sizeof attempt->inquiry.out];
    size_t size = sp_inquiry_output(&attempt->inquiry, text, sizeof text);
    uv_buf_t buf = uv_buf_init(text, (unsigned) size);
    if (size && uv_try_write((uv_stream_t *) &attempt->pipe, &buf, 1) != (int) size) {
        attempt_over(attempt, "does not take the request");
    }
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    const struct attempt *attempt = handle->data;
    *ret = uv_buf_init(attempt->question->unixctl->buffer, READ_SIZE);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct attempt *attempt = stream->data;
    struct question *question = attempt->question;
    struct sp_inquiry *inquiry = &attempt->inquiry;
    if (n < 0) {
        attempt_over(attempt, n == UV_EOF ? "the switch closed the connection" : uv_strerror((int) n));
        return;
    }
    sp_inquiry_receive(inquiry, buf->base, (size_t) n);
    if (inquiry->is_proved && !question->winner) {
        question->winner = attempt;
        for (size_t i = 0; i < question->n_attempts; i++) {
            if (&question->attempts[i] != attempt) {
                let_go(&question->attempts[i]);
            }
        }
    }
    if (inquiry->state == SP_INQUIRY_ASKING) {
        send_request(attempt);
    } else {
        attempt_over(attempt, inquiry->state == SP_INQUIRY_FAILED ? inquiry->why : "");
    }
}

static void
on_connected(uv_connect_t *request, int status)
{
    struct attempt *attempt = request->data;
    if (attempt->is_over) {
        return; /* It was let go meanwhile. */
    }
    status = status ? status : uv_read_start((uv_stream_t *) &attempt->pipe, on_alloc, on_read);
    if (status) {
        attempt_over(attempt, uv_strerror(status));
    } else {
        send_request(attempt);
    }
}

static void
on_search(uv_work_t *work)
{
    struct attempt *attempt = work->data;
    if (sp_unixctl_find(attempt->method + strlen(PREFIX), attempt->path, attempt->why, sizeof attempt->why)) {
        attempt->path[0] = '\0';
    }
}

static void
on_searched(uv_work_t *work, int status)
{
    struct attempt *attempt = work->data;
    struct question *question = attempt->question;
    if (!attempt->is_over && !attempt->path[0]) {
        char why[sizeof attempt->why];
        snprintf(why, sizeof why, "%s", attempt->why);
        attempt_over(attempt, why);
    } else if (!attempt->is_over) {
        uv_pipe_init(question->unixctl->loop, &attempt->pipe, 0);
        attempt->pipe.data = attempt;
        attempt->connect.data = attempt;
        attempt->has_pipe = true;
        question->n_busy++;
        uv_pipe_connect(&attempt->connect, &attempt->pipe, attempt->path, on_connected);
    }
    release(question);
}

static void
on_late(uv_timer_t *timer)
{
    conclude(timer->data, true);
}

static bool
rests(const struct sp_unixctl *unixctl)
{
    return uv_now(unixctl->loop) < unixctl->rest_until_ms;
}

/* Lets all sockets be looked for. */
static void
begin(struct question *question)
{
    struct sp_unixctl *unixctl = question->unixctl;
    uint64_t timeout_ms = unixctl->timeout_ms;
    for (size_t i = 0; i < question->n_attempts; i++) {
        struct attempt *attempt = &question->attempts[i];
        attempt->search.data = attempt;
        int r = uv_queue_work(unixctl->loop, &attempt->search, on_search, on_searched);
        if (r) {
            snprintf(attempt->why, sizeof attempt->why, "%s", uv_strerror(r));
            attempt->is_over = true;
        } else {
            question->n_busy++;
        }
    }
    if (question->n_busy == 1) {
        timeout_ms = 0; /* Nobody else will come back. */
    }
    uv_timer_start(&question->timer, on_late, timeout_ms, 0);
}

/* Begins when the switches rest no more: somebody else may have made them work meanwhile. */
static void
begin_rested(uv_timer_t *timer)
{
    struct question *question = timer->data;
    const struct sp_unixctl *unixctl = question->unixctl;
    uint64_t now = uv_now(unixctl->loop), until = unixctl->rest_until_ms;
    if (!rests(unixctl)) {
        begin(question);
    } else if (now >= question->patient_until_ms) {
        conclude(question, true);
    } else {
        until = until < question->patient_until_ms ? until : question->patient_until_ms;
        uv_timer_start(timer, begin_rested, until - now, 0);
    }
}

int
sp_unixctl_ask_patiently(struct sp_unixctl *unixctl, const struct sp_inquiry_port *port, size_t max, sp_unixctl_done *done,
                         void *aux)
{
    if (unixctl->n_open == SP_UNIXCTL_QUESTIONS_MAX || unixctl->is_closed) {
        return SP_E_FULL;
    }
    struct question *question = calloc(1, sizeof *question + unixctl->n * sizeof question->attempts[0]);
    int r = question ? 0 : -ENOMEM;
    for (size_t i = 0; i < unixctl->n && !r; i++) {
        struct attempt *attempt = &question->attempts[i];
        attempt->question = question;
        attempt->method = unixctl->methods[i];
        question->n_attempts++;
        r = sp_inquiry_init(&attempt->inquiry, port, max);
    }
    if (r) {
        for (size_t i = 0; question && i < question->n_attempts; i++) {
            sp_inquiry_clear(&question->attempts[i].inquiry);
        }
        free(question);
        return r;
    }
    question->unixctl = unixctl;
    question->done = done;
    question->aux = aux;
    question->next = unixctl->questions;
    unixctl->questions = question;
    unixctl->n_open++;
    question->patient_until_ms = uv_now(unixctl->loop) + unixctl->timeout_ms;
    uv_timer_init(unixctl->loop, &question->timer);
    question->timer.data = question;
    question->n_busy = 1;
    begin_rested(&question->timer);
    return 0;
}

int
sp_unixctl_ask(struct sp_unixctl *unixctl, const struct sp_inquiry_port *port, size_t max, sp_unixctl_done *done, void *aux)
{
    return rests(unixctl) ? SP_E_FULL : sp_unixctl_ask_patiently(unixctl, port, max, done, aux);
}

void
sp_unixctl_close(struct sp_unixctl *unixctl)
{
    static const struct sp_unixctl_answer stopped = {.end = SP_UNIXCTL_STOPPED, .why = "the controller is stopping"};
    if (!unixctl) {
        return;
    }
    unixctl->is_closed = true;
    for (struct question *question = unixctl->questions; question; question = question->next) {
        if (!question->has_ended) {
            end_with(question, &stopped);
        }
    }
    if (!unixctl->questions) {
        free_unixctl(unixctl);
    }
}
