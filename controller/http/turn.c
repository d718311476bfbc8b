#include "controller/http/turn.h"

static void
on_timer(uv_timer_t *timer)
{
    struct sp_http_turn *turn = (struct sp_http_turn *) ((char *) timer - offsetof(struct sp_http_turn, timer));
    turn->run(turn->aux);
}

static void
on_idle(uv_idle_t *idle)
{
    struct sp_http_turn *turn = (struct sp_http_turn *) ((char *) idle - offsetof(struct sp_http_turn, idle));
    turn->run(turn->aux);
}

void
sp_http_turn_init(struct sp_http_turn *turn, uv_loop_t *loop, void (*run)(void *aux), void *aux)
{
    uv_timer_init(loop, &turn->timer);
    uv_idle_init(loop, &turn->idle);
    turn->timer.data = turn->idle.data = aux;
    turn->n_vain = 0;
    turn->run = run;
    turn->aux = aux;
}

void
sp_http_turn_close(struct sp_http_turn *turn, uv_close_cb closed)
{
    uv_close((uv_handle_t *) &turn->timer, closed);
    uv_close((uv_handle_t *) &turn->idle, closed);
}

void
sp_http_turn_begin(struct sp_http_turn *turn)
{
    uv_idle_stop(&turn->idle);
    turn->n_vain++;
}

void
sp_http_turn_useful(struct sp_http_turn *turn)
{
    turn->n_vain = 0;
}

void
sp_http_turn_again(struct sp_http_turn *turn, uint64_t in_ms)
{
    if (!in_ms && turn->n_vain > SP_HTTP_VAIN_TURNS_MAX) {
        in_ms = SP_HTTP_VAIN_MS;
    }
    if (in_ms) {
        uv_timer_start(&turn->timer, on_timer, in_ms, 0);
    } else {
        uv_idle_start(&turn->idle, on_idle);
    }
}
