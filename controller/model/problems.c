#include "controller/model/batch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sp_problems_init(struct sp_problems *problems)
{
    *problems = (struct sp_problems) { 0 };
}

void sp_problems_clear(struct sp_problems *problems)
{
    for (size_t i = 0; i < problems->n; i++) {
        free(problems->problems[i].field);
        free(problems->problems[i].message);
    }
    for (size_t i = 0; i < problems->n_holders; i++) {
        free(problems->holders[i].name);
    }
    free(problems->problems);
    free(problems->holders);
    free(problems->detail);
    sp_problems_init(problems);
}

/* Makes room for one more item in an array that grows at 1, 2, 4, 8, ... items, so that 'n' alone tells its capacity. */
static bool grow(void **items, size_t n, size_t item_size)
{
    if (n & (n - 1)) {
        return true;
    }
    void *larger = realloc(*items, (n ? 2 * n : 1) * item_size);
    if (!larger) {
        return false;
    }
    *items = larger;
    return true;
}

static char *format_text(const char *format, va_list args)
{
    char *text = NULL;
    return vasprintf(&text, format, args) < 0 ? NULL : text;
}

void sp_problems_add(struct sp_problems *problems, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct sp_problem problem = { .field = strdup(field), .message = format_text(format, args) };
    va_end(args);

    if (!problem.field || !problem.message || !grow((void **) &problems->problems, problems->n, sizeof problem)) {
        free(problem.field);
        free(problem.message);
        problems->n_lost++;
        return;
    }
    problems->problems[problems->n++] = problem;
}

void sp_problems_hold(struct sp_problems *problems, const char *type, const struct sp_uuid *id, const char *name)
{
    struct sp_holder holder = { .type = type, .id = *id };
    if (problems->n_holders == SP_HOLDERS_MAX || !(holder.name = strdup(name))) {
        problems->n_lost++;
        return;
    }
    if (!grow((void **) &problems->holders, problems->n_holders, sizeof holder)) {
        free(holder.name);
        problems->n_lost++;
        return;
    }
    problems->holders[problems->n_holders++] = holder;
}

void sp_problems_detail(struct sp_problems *problems, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *detail = format_text(format, args);
    va_end(args);

    if (!detail) {
        problems->n_lost++;
        return;
    }
    free(problems->detail);
    problems->detail = detail;
}

void sp_problems_prefix(struct sp_problems *problems, size_t first, const char *prefix)
{
    for (size_t i = first; i < problems->n; i++) {
        char *field;
        if (asprintf(&field, "%s%s", prefix, problems->problems[i].field) < 0) {
            problems->n_lost++;
            continue;
        }
        free(problems->problems[i].field);
        problems->problems[i].field = field;
    }
}
