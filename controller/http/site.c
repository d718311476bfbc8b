/* A site is an address that is listened at, and the servers of the connections made there: the one that takes new ones, and those
 * whose credentials have been replaced, until their last connection has gone. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/http/accept.h"
#include "controller/http/server.h"

/* One server of the site. */
struct generation {
    struct sp_http_site *site;
    struct generation *prev, *next;
    struct sp_http_server *server;
};

struct sp_http_site {
    struct uv_loop_s *loop;
    char *address;
    sp_http_handle *handle;
    void *aux;
    struct sp_http_acceptor *acceptor;
    struct generation *generations; /* The first one takes the connections. */
    bool is_closing;
    void (*closed)(void *aux);
    void *closed_aux;
};

static bool has_room(void *site);
static void take(void *site, int fd, const struct sockaddr *, socklen_t);
static int add_generation(struct sp_http_site *, const struct sp_http_credentials *, char *why, size_t why_size);
static void on_closed(void *generation);
static void free_site(struct sp_http_site *);

static const struct sp_http_accepts accepts = {has_room, take};

int
sp_http_open(struct uv_loop_s *loop, const char *address, const struct sp_http_credentials *credentials, sp_http_handle *handle,
             void *aux, struct sp_http_site **ret, char *why, size_t why_size)
{
    struct sp_http_site *site = calloc(1, sizeof *site);

    if (!site || !(site->address = strdup(address))) {
        snprintf(why, why_size, "cannot serve HTTP on %s: out of memory", address);
        free(site);
        return -ENOMEM;
    }
    site->loop = loop;
    site->handle = handle;
    site->aux = aux;

    int r = sp_http_acceptor_new(loop, address, &accepts, site, &site->acceptor, why, why_size);

    if (r) {
        free_site(site);
        return r;
    }
    r = add_generation(site, credentials, why, why_size);
    if (r) {
        sp_http_acceptor_close(site->acceptor);
        free_site(site);
        return r;
    }
    *ret = site;
    return 0;
}

int
sp_http_renew(struct sp_http_site *site, const struct sp_http_credentials *credentials, char *why, size_t why_size)
{
    struct generation *before = site->generations;
    int r = add_generation(site, credentials, why, why_size);

    if (!r) {
        sp_http_server_retire(before->server, on_closed, before);
    }
    return r;
}

void
sp_http_close(struct sp_http_site *site, void (*closed)(void *aux), void *aux)
{
    site->is_closing = true;
    site->closed = closed;
    site->closed_aux = aux;
    sp_http_acceptor_close(site->acceptor);
    for (struct generation *g = site->generations; g; g = g->next) {
        sp_http_server_close(g->server, on_closed, g);
    }
}

uint16_t
sp_http_port(const struct sp_http_site *site)
{
    return sp_http_acceptor_listener(site->acceptor)->port;
}

static bool
has_room(void *aux)
{
    return sp_http_server_has_room(((const struct sp_http_site *) aux)->generations->server);
}

static void
take(void *aux, int fd, const struct sockaddr *address, socklen_t size)
{
    sp_http_server_take(((const struct sp_http_site *) aux)->generations->server, fd, address, size);
}

static int
add_generation(struct sp_http_site *site, const struct sp_http_credentials *credentials, char *why, size_t why_size)
{
    struct generation *g = calloc(1, sizeof *g);
    int r = -ENOMEM;

    if (g) {
        credentials = sp_http_acceptor_listener(site->acceptor)->path ? NULL : credentials;
        r = sp_http_server_new(site->loop, credentials, sp_http_address_is_exposed(site->address), site->handle, site->aux,
                               &g->server);
    }
    if (r) {
        snprintf(why, why_size,
                 r == -EKEYREJECTED ? "cannot serve HTTPS on %s: the private key and the certificate cannot be used"
                                    : "cannot serve HTTP on %s: %s", site->address, strerror(-r));
        free(g);
        return r;
    }
    g->site = site;
    g->next = site->generations;
    if (g->next) {
        g->next->prev = g;
    }
    site->generations = g;
    return 0;
}

static void
on_closed(void *aux)
{
    struct generation *g = aux;
    struct sp_http_site *site = g->site;

    if (g->prev) {
        g->prev->next = g->next;
    } else {
        site->generations = g->next;
    }
    if (g->next) {
        g->next->prev = g->prev;
    }
    free(g);
    if (site->is_closing && !site->generations) {
        void (*closed)(void *aux) = site->closed;
        void *closed_aux = site->closed_aux;

        free_site(site);
        closed(closed_aux);
    }
}

static void
free_site(struct sp_http_site *site)
{
    free(site->address);
    free(site);
}
