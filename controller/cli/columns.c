#include "controller/cli/columns.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct sp_columns {
    const char *const *titles;
    size_t n_columns;
    char **cells; /* Row by row. */
    size_t n_cells;
    size_t n_allocated;
    bool failed;
};

static const char *cell_text(const struct sp_columns *, size_t index);
static size_t next_char(const char *text, int *ret_width);

struct sp_columns *
sp_columns_new(const char *const titles[], size_t n)
{
    struct sp_columns *columns = calloc(1, sizeof *columns);
    if (columns) {
        columns->titles = titles;
        columns->n_columns = n;
    }
    return columns;
}

void
sp_columns_free(struct sp_columns *columns)
{
    if (columns) {
        for (size_t i = 0; i < columns->n_cells; i++) {
            free(columns->cells[i]);
        }
        free(columns->cells);
        free(columns);
    }
}

void
sp_columns_add(struct sp_columns *columns, const char *format, ...)
{
    if (!columns || columns->failed) {
        return;
    }
    if (columns->n_cells == columns->n_allocated) {
        size_t n = columns->n_allocated ? 2 * columns->n_allocated : 64;
        char **cells = reallocarray(columns->cells, n, sizeof *cells);
        if (!cells) {
            columns->failed = true;
            return;
        }
        columns->cells = cells;
        columns->n_allocated = n;
    }
    va_list args;
    va_start(args, format);
    if (vasprintf(&columns->cells[columns->n_cells], format, args) < 0) {
        columns->failed = true;
    } else {
        columns->n_cells++;
    }
    va_end(args);
}

int
sp_columns_print(const struct sp_columns *columns, unsigned indent, FILE *stream)
{
    if (!columns || columns->failed) {
        return -ENOMEM;
    }
    size_t widths[SP_COLUMNS_MAX] = {0};
    size_t n_all = columns->n_columns + columns->n_cells / columns->n_columns * columns->n_columns;
    for (size_t i = 0; i < n_all; i++) {
        size_t width = sp_text_width(cell_text(columns, i));
        size_t column = i % columns->n_columns;
        widths[column] = width > widths[column] ? width : widths[column];
    }
    for (size_t row = 0; row < n_all; row += columns->n_columns) {
        size_t n = columns->n_columns;
        while (n && !*cell_text(columns, row + n - 1)) {
            n--; /* No spaces at the end of a line. */
        }
        fprintf(stream, "%*s", (int) indent, "");
        for (size_t i = 0; i < n; i++) {
            const char *text = cell_text(columns, row + i);
            sp_text_print(stream, text);
            fprintf(stream, "%*s", i + 1 < n ? (int) (widths[i] - sp_text_width(text)) + 2 : 0, "");
        }
        putc('\n', stream);
    }
    return 0;
}

void
sp_text_print(FILE *stream, const char *text)
{
    for (const char *p = text ? text : ""; *p;) {
        int width;
        size_t size = next_char(p, &width);
        if (width < 0) {
            fprintf(stream, "\\x%02x", (unsigned char) *p);
        } else {
            fwrite(p, 1, size, stream);
        }
        p += width < 0 ? 1 : size;
    }
}

size_t
sp_text_width(const char *text)
{
    size_t total = 0;
    for (const char *p = text ? text : ""; *p;) {
        int width;
        size_t size = next_char(p, &width);
        total += width < 0 ? 4 : (size_t) width;
        p += width < 0 ? 1 : size;
    }
    return total;
}

/* The title row counts as the first. */
static const char *
cell_text(const struct sp_columns *columns, size_t index)
{
    return index < columns->n_columns ? columns->titles[index] : columns->cells[index - columns->n_columns];
}

/* Bytes of the character at 'text' and the terminal columns it fills; -1 if it is not to be printed as it is. */
static size_t
next_char(const char *text, int *ret_width)
{
    wchar_t c;
    mbstate_t state = {0};
    size_t size = mbrtowc(&c, text, strnlen(text, MB_LEN_MAX), &state);
    if (size == 0 || size > MB_LEN_MAX) {
        *ret_width = -1;
        return 1;
    }
    *ret_width = wcwidth(c);
    return size;
}
