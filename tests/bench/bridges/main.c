/* Many bridges in one process, for measuring a controller.
 *
 *     bridges ADDRESS N PORTS
 *
 * ADDRESS is the path of the controller's unix socket.  Bridge k (from 1) has datapath id k.  Commands, one a line on standard
 * input; each prints one line of JSON:
 *
 *     dial     connects all bridges, and again whenever a connection ends
 *     hang     closes all connections and leaves it at that
 *     empty    removes all flows
 *     pass     three packets more have passed each flow that is to tell what it has counted
 *     reset    sets the counters and times of "state" to zero
 *     state    "connected", "flows", "adds", "deletes", "bundles", "dumps", "errors", "bytes_in"; "committed": bridges with a
 *              commit, "first" and "last": when the first and the last of them had its last one, in seconds of the
 *              monotonic clock
 *
 * The end of the input ends the program. */

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tests/bench/bridges/bridge.h"

#define REDIAL_MS 20
#define READ_SIZE (256u << 10)

struct line {
    struct bridge bridge;
    struct sim *sim;
    uv_pipe_t pipe;
    uv_timer_t redial;
    bool open;           /* 'pipe' is a handle of libuv. */
    bool connected;
    uint64_t commit_ns;  /* When it last committed; 0: not since "reset". */
};

struct sim {
    uv_loop_t *loop;
    const char *address;
    struct line *lines;
    size_t n;
    bool dialling;
    struct counts counts;
    uv_pipe_t input;
    struct bytes commands;
    uint8_t read[READ_SIZE];
};

static void dial(struct line *);

static void on_redial(uv_timer_t *timer)
{
    dial(timer->data);
}

static void on_closed(uv_handle_t *handle)
{
    struct line *line = handle->data;

    line->open = false;
    if (line->sim->dialling) {
        uv_timer_start(&line->redial, on_redial, REDIAL_MS, 0);
    }
}

static void hang_up(struct line *line)
{
    line->connected = false;
    if (line->open && !uv_is_closing((uv_handle_t *) &line->pipe)) {
        uv_close((uv_handle_t *) &line->pipe, on_closed);
    }
}

static void on_written(uv_write_t *write, int status)
{
    free(write->data);
    free(write);
}

static void flush(struct line *line)
{
    struct bytes *out = &line->bridge.out;
    uv_write_t *write;
    uv_buf_t buf = uv_buf_init((char *) out->data, (unsigned) out->size);

    if (!out->size) {
        return;
    }
    write = malloc(sizeof *write);
    assert(write);
    write->data = out->data;
    *out = (struct bytes){0};
    if (uv_write(write, (uv_stream_t *) &line->pipe, &buf, 1, on_written)) {
        on_written(write, 0);
        hang_up(line);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct sim *sim = handle->loop->data;

    *buf = uv_buf_init((char *) sim->read, sizeof sim->read);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct line *line = stream->data;

    if (n < 0) {
        hang_up(line);
        return;
    }
    line->bridge.committed = false;
    if (!bridge_receive(&line->bridge, buf->base, (size_t) n)) {
        fprintf(stderr, "bridges: bridge %llu got what is no OpenFlow\n", (unsigned long long) line->bridge.dpid);
        hang_up(line);
        return;
    }
    if (line->bridge.committed) {
        line->commit_ns = uv_hrtime();
    }
    flush(line);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct line *line = connect->data;

    free(connect);
    if (status || !line->sim->dialling) {
        hang_up(line);
        return;
    }
    line->connected = true;
    bridge_connect(&line->bridge);
    flush(line);
    if (uv_read_start((uv_stream_t *) &line->pipe, on_alloc, on_read)) {
        hang_up(line);
    }
}

static void dial(struct line *line)
{
    uv_connect_t *connect;
    int error;

    if (line->open) {
        return;
    }
    connect = malloc(sizeof *connect);
    assert(connect);
    error = uv_pipe_init(line->sim->loop, &line->pipe, 0);
    assert(!error);
    line->open = true;
    line->pipe.data = connect->data = line;
    uv_pipe_connect(connect, &line->pipe, line->sim->address, on_connected);
}

static void print_state(struct sim *sim)
{
    size_t n_connected = 0, n_flows = 0, n_committed = 0;
    uint64_t first_ns = UINT64_MAX, last_ns = 0;

    for (size_t i = 0; i < sim->n; i++) {
        const struct line *line = &sim->lines[i];

        n_connected += line->connected;
        n_flows += line->bridge.table.n;
        if (line->commit_ns) {
            n_committed++;
            first_ns = line->commit_ns < first_ns ? line->commit_ns : first_ns;
            last_ns = line->commit_ns > last_ns ? line->commit_ns : last_ns;
        }
    }
    printf("{\"connected\": %zu, \"flows\": %zu, \"adds\": %llu, \"deletes\": %llu, \"bundles\": %llu, \"dumps\": %llu, "
           "\"errors\": %llu, \"bytes_in\": %llu, \"committed\": %zu, \"first\": %.6f, \"last\": %.6f}\n",
           n_connected, n_flows, (unsigned long long) sim->counts.adds, (unsigned long long) sim->counts.deletes,
           (unsigned long long) sim->counts.bundles, (unsigned long long) sim->counts.dumps,
           (unsigned long long) sim->counts.errors, (unsigned long long) sim->counts.bytes_in, n_committed,
           n_committed ? (double) first_ns / 1e9 : 0, (double) last_ns / 1e9);
}

static void carry_out(struct sim *sim, const char *command)
{
    bool known = !strcmp(command, "dial") || !strcmp(command, "hang") || !strcmp(command, "empty") || !strcmp(command, "reset");

    if (!strcmp(command, "dial") || !strcmp(command, "hang")) {
        sim->dialling = command[0] == 'd';
    }
    if (!strcmp(command, "reset")) {
        sim->counts = (struct counts){.packets = sim->counts.packets};
    }
    if (!strcmp(command, "pass")) {
        sim->counts.packets += 3;
        printf("{\"ok\": true}\n");
        fflush(stdout);
        return;
    }
    for (size_t i = 0; known && i < sim->n; i++) {
        struct line *line = &sim->lines[i];

        switch (command[0]) {
        case 'd':
            dial(line);
            break;
        case 'h':
            uv_timer_stop(&line->redial);
            hang_up(line);
            break;
        case 'e':
            table_clear(&line->bridge.table);
            break;
        default:
            line->commit_ns = 0;
        }
    }
    if (!strcmp(command, "state")) {
        print_state(sim);
    } else {
        printf("{\"ok\": %s}\n", known ? "true" : "false");
    }
    fflush(stdout);
}

static void on_commands(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct sim *sim = stream->loop->data;
    char *end;

    if (n < 0) {
        exit(0);
    }
    memcpy(bytes_put(&sim->commands, (size_t) n), buf->base, (size_t) n);
    while ((end = memchr(sim->commands.data, '\n', sim->commands.size))) {
        size_t size = (size_t) (end + 1 - (char *) sim->commands.data);

        *end = '\0';
        carry_out(sim, (const char *) sim->commands.data);
        sim->commands.size -= size;
        memmove(sim->commands.data, end + 1, sim->commands.size);
    }
}

int main(int argc, char **argv)
{
    struct sim *sim = calloc(1, sizeof *sim);
    uv_loop_t *loop = uv_default_loop();

    if (argc != 4 || !sim) {
        fprintf(stderr, "usage: %s ADDRESS N PORTS\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    loop->data = sim;
    sim->loop = loop;
    sim->address = argv[1];
    sim->n = strtoul(argv[2], NULL, 0);
    sim->lines = calloc(sim->n + 1, sizeof *sim->lines);
    assert(sim->lines);
    for (size_t i = 0; i < sim->n; i++) {
        struct line *line = &sim->lines[i];

        line->sim = sim;
        line->bridge = (struct bridge){
            .dpid = i + 1, .n_ports = (unsigned) strtoul(argv[3], NULL, 0), .counts = &sim->counts};
        uv_timer_init(loop, &line->redial);
        line->redial.data = line;
    }
    if (uv_pipe_init(loop, &sim->input, 0) || uv_pipe_open(&sim->input, 0) ||
        uv_read_start((uv_stream_t *) &sim->input, on_alloc, on_commands)) {
        fprintf(stderr, "bridges: standard input is no pipe\n");
        return 2;
    }
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
