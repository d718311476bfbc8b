#include "controller/cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/json/json.h"

struct sp_client {
    CURL *curl;
    char *url;          /* As the user wrote it. */
    char *base;         /* What the path is put behind. */
    const char *socket; /* Path of the unix socket, inside of 'url'; NULL = none. */
    char *ca_cert;      /* NULL = the system's. */
    char *token_field;  /* "Authorization: Bearer ..."; NULL = no token. */
};

static int read_token(const char *file, char **ret_field, char *why, size_t why_size);
static struct curl_slist *make_fields(const struct sp_client *, bool has_body);
static void set_request(struct sp_client *, const char *method, const char *url, const char *body, size_t size,
                        unsigned timeout_s);
static size_t take_body(char *data, size_t size, size_t n, void *aux);
static size_t take_field(char *data, size_t size, size_t n, void *aux);

int
sp_client_new(const char *url, const char *token_file, const char *ca_cert, struct sp_client **ret, char *why, size_t why_size)
{
    if (!url) {
        url = SP_CLIENT_URL_DEFAULT;
    }
    bool is_unix = !strncmp(url, "unix:", 5);
    if (!(is_unix && url[5]) && strncmp(url, "http://", 7) && strncmp(url, "https://", 8)) {
        snprintf(why, why_size, "'%s' is not http://HOST:PORT, https://HOST:PORT or unix:PATH", url);
        return SP_E_SYNTAX;
    }
    struct sp_client *client = calloc(1, sizeof *client);
    if (!client) {
        return -ENOMEM;
    }
    client->url = strdup(url);
    client->base = strdup(is_unix ? "http://localhost" : url);
    client->curl = curl_global_init(CURL_GLOBAL_DEFAULT) ? NULL : curl_easy_init();
    client->ca_cert = ca_cert ? strdup(ca_cert) : NULL;
    if (!client->url || !client->base || !client->curl || (ca_cert && !client->ca_cert)) {
        sp_client_free(client);
        return -ENOMEM;
    }
    client->socket = is_unix ? client->url + 5 : NULL;
    for (size_t len = strlen(client->base); len && client->base[len - 1] == '/'; len--) {
        client->base[len - 1] = '\0';
    }
    int error = token_file ? read_token(token_file, &client->token_field, why, why_size) : 0;
    if (error) {
        sp_client_free(client);
        return error;
    }
    *ret = client;
    return 0;
}

void
sp_client_free(struct sp_client *client)
{
    if (client) {
        curl_easy_cleanup(client->curl);
        free(client->url);
        free(client->base);
        if (client->token_field) {
            explicit_bzero(client->token_field, strlen(client->token_field));
        }
        free(client->token_field);
        free(client->ca_cert);
        free(client);
    }
}

const char *
sp_client_url(const struct sp_client *client)
{
    return client->url;
}

int
sp_client_call(struct sp_client *client, const char *method, const char *path, const char *body, size_t size,
               unsigned timeout_s, struct sp_reply *reply, char *why, size_t why_size)
{
    char *url = NULL;
    if (asprintf(&url, "%s%s", client->base, path) < 0) {
        return -ENOMEM;
    }
    struct curl_slist *fields = make_fields(client, body);
    if (!fields) {
        free(url);
        return -ENOMEM;
    }
    char error_text[CURL_ERROR_SIZE] = "";
    CURL *curl = client->curl;
    set_request(client, method, url, body, size, timeout_s);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, reply);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(fields);
    free(url);
    if (code == CURLE_OUT_OF_MEMORY) {
        sp_reply_clear(reply);
        return -ENOMEM;
    }
    if (code != CURLE_OK) {
        snprintf(why, why_size, "%s", error_text[0] ? error_text : curl_easy_strerror(code));
        sp_reply_clear(reply);
        return SP_E_CLOSED;
    }
    reply->status = (unsigned) status;
    char ignored[1];
    if (reply->size && sp_json_parse(reply->body, reply->size, &reply->json, ignored, sizeof ignored) < 0) {
        sp_reply_clear(reply);
        return -ENOMEM;
    }
    return 0;
}

void
sp_reply_clear(struct sp_reply *reply)
{
    free(reply->body);
    sp_json_free(reply->json);
    *reply = (struct sp_reply){0};
}

static int
read_token(const char *file, char **ret_field, char *why, size_t why_size)
{
    char token[SP_CLIENT_TOKEN_MAX + 2];
    FILE *stream = fopen(file, "re");
    if (!stream) {
        snprintf(why, why_size, "token file '%s': %s", file, strerror(errno));
        return SP_E_INVALID;
    }
    size_t size = fread(token, 1, sizeof token - 1, stream);
    bool failed = ferror(stream);
    fclose(stream);
    token[size] = '\0';
    size_t len = strcspn(token, "\r\n");
    const char *complaint = failed || !len              ? "holds no token in its first line"
                            : len > SP_CLIENT_TOKEN_MAX ? "holds a token that is too long"
                            : strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") != len
                                ? "holds a token with a character that RFC 6750 does not allow"
                                : NULL;
    if (complaint) {
        snprintf(why, why_size, "token file '%s' %s", file, complaint);
        return SP_E_INVALID;
    }
    if (asprintf(ret_field, "Authorization: Bearer %.*s", (int) len, token) < 0) {
        *ret_field = NULL;
        return -ENOMEM;
    }
    return 0;
}

static struct curl_slist *
make_fields(const struct sp_client *client, bool has_body)
{
    struct curl_slist *fields = curl_slist_append(NULL, "Accept: application/json");
    const char *more[] = {has_body ? "Content-Type: application/json" : NULL, has_body ? "Expect:" : NULL,
                          client->token_field};
    for (size_t i = 0; fields && i < sizeof more / sizeof more[0]; i++) {
        if (more[i]) {
            struct curl_slist *longer = curl_slist_append(fields, more[i]);
            if (!longer) {
                curl_slist_free_all(fields);
            }
            fields = longer;
        }
    }
    return fields;
}

static void
set_request(struct sp_client *client, const char *method, const char *url, const char *body, size_t size,
            unsigned timeout_s)
{
    CURL *curl = client->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2); /* Or later. */
    if (client->ca_cert) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_cert);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); /* "bridge show .." must not ask for another resource. */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sallyport/" SP_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long) SP_CLIENT_CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long) timeout_s);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_field);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
}

static size_t
take_body(char *data, size_t size, size_t n, void *aux)
{
    struct sp_reply *reply = aux;
    size_t more = size * n;
    if (more > SP_CLIENT_ANSWER_MAX - reply->size) {
        return 0;
    }
    /* Grows by halves: libcurl hands over 16 KiB at a time. */
    char *body = realloc(reply->body, reply->size + reply->size / 2 + more + 1);
    if (!body) {
        return 0;
    }
    memcpy(body + reply->size, data, more);
    reply->body = body;
    reply->size += more;
    body[reply->size] = '\0';
    return more;
}

static size_t
take_field(char *data, size_t size, size_t n, void *aux)
{
    static const char revision[] = "Sallyport-Revision:";
    static const char applied[] = "Sallyport-Applied:";
    static const char change[] = "Sallyport-Change:";
    struct sp_reply *reply = aux;
    char line[128];
    size_t len = size * n;
    if (len < sizeof line) { /* Ours are short. */
        memcpy(line, data, len);
        line[len] = '\0';
        if (!strncasecmp(line, revision, sizeof revision - 1)) {
            reply->has_revision = true;
            reply->revision = strtoull(line + sizeof revision - 1, NULL, 10);
        } else if (!strncasecmp(line, change, sizeof change - 1)) {
            reply->change = strtoull(line + sizeof change - 1, NULL, 10);
        } else if (!strncasecmp(line, applied, sizeof applied - 1)) {
            const char *value = line + sizeof applied - 1;
            reply->applied = !strncmp(value + strspn(value, " \t"), "true", 4);
        }
    }
    return len;
}
