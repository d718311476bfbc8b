#include "controller/unixctl/conntrack.h"

#include <string.h>

/* A piece of text. */
struct piece {
    const char *text;
    size_t size;
};

static const struct {
    const char *name;
    uint8_t number;
} protocols[] = {
    {"icmp", 1}, {"igmp", 2}, {"tcp", 6}, {"udp", 17}, {"dccp", 33}, {"icmpv6", 58}, {"sctp", 132}, {"udplite", 136},
};

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMPV6 58

static bool
is(struct piece piece, const char *text)
{
    return piece.size == strlen(text) && !memcmp(piece.text, text, piece.size);
}

/* A decimal number up to 'max'. */
static bool
read_number(struct piece piece, uint32_t max, uint32_t *ret)
{
    uint64_t number = 0;
    for (size_t i = 0; i < piece.size; i++) {
        if (piece.text[i] < '0' || piece.text[i] > '9' || number > max) {
            return false;
        }
        number = number * 10 + (uint64_t) (piece.text[i] - '0');
    }
    *ret = (uint32_t) number;
    return piece.size && number <= max;
}

static bool
read_address(struct piece piece, struct sp_cidr *ret)
{
    char text[SP_CIDR_TEXT_SIZE];
    if (piece.size >= sizeof text || memchr(piece.text, '/', piece.size) || memchr(piece.text, '\0', piece.size)) {
        return false;
    }
    memcpy(text, piece.text, piece.size);
    text[piece.size] = '\0';
    return !sp_cidr_parse(text, ret);
}

/* Takes the next "key", "key=value" or "key=(value)" off the front of '*rest', whose commas separate them.  Returns false if
 * there is none, or none that ends. */
static bool
take_field(struct piece *rest, struct piece *ret_key, struct piece *ret_value)
{
    size_t key = 0, depth = 0, end;
    while (key < rest->size && rest->text[key] != '=' && rest->text[key] != ',') {
        key++;
    }
    bool has_value = key < rest->size && rest->text[key] == '=';
    for (end = key; end < rest->size && (depth || rest->text[end] != ','); end++) {
        depth += rest->text[end] == '(';
        if (rest->text[end] == ')' && !depth--) {
            return false;
        }
    }
    if (!rest->size || depth) {
        return false;
    }
    *ret_key = (struct piece){rest->text, key};
    *ret_value = has_value ? (struct piece){rest->text + key + 1, end - key - 1} : (struct piece){rest->text + key, 0};
    if (ret_value->size >= 2 && ret_value->text[0] == '(' && ret_value->text[ret_value->size - 1] == ')') {
        *ret_value = (struct piece){ret_value->text + 1, ret_value->size - 2};
    }
    size_t taken = end + (end < rest->size); /* With the comma. */
    *rest = (struct piece){rest->text + taken, rest->size - taken};
    return true;
}

static bool
read_protocol(struct piece piece, uint8_t *ret)
{
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        if (is(piece, protocols[i].name)) {
            *ret = protocols[i].number;
            return true;
        }
    }
    uint32_t number;
    bool good = read_number(piece, UINT8_MAX, &number);
    *ret = good ? (uint8_t) number : 0;
    return good;
}

/* The tuple of the opening packet. */
static bool
read_tuple(struct piece rest, struct sp_conntrack *ret)
{
    enum { SPORT, DPORT, ID, TYPE, CODE, N_NUMBERS };
    static const struct {
        const char *key;
        uint32_t max;
    } fields[N_NUMBERS] = {
        [SPORT] = {"sport", UINT16_MAX}, [DPORT] = {"dport", UINT16_MAX}, [ID] = {"id", UINT16_MAX},
        [TYPE] = {"type", UINT8_MAX},    [CODE] = {"code", UINT8_MAX},
    };
    struct piece key, value;
    uint32_t numbers[N_NUMBERS] = {0};
    bool has[N_NUMBERS] = {false};
    while (rest.size) {
        if (!take_field(&rest, &key, &value) || (is(key, "src") && !read_address(value, &ret->src)) ||
            (is(key, "dst") && !read_address(value, &ret->dst))) {
            return false;
        }
        for (size_t i = 0; i < N_NUMBERS; i++) {
            if (is(key, fields[i].key)) {
                has[i] = read_number(value, fields[i].max, &numbers[i]);
                if (!has[i]) {
                    return false;
                }
            }
        }
    }
    bool is_icmp = ret->protocol == PROTOCOL_ICMP || ret->protocol == PROTOCOL_ICMPV6;
    ret->has_ports = !is_icmp && has[SPORT] && has[DPORT];
    ret->has_icmp = is_icmp && has[ID] && has[TYPE] && has[CODE];
    ret->src_port = (uint16_t) numbers[SPORT];
    ret->dst_port = (uint16_t) numbers[DPORT];
    ret->icmp_id = (uint16_t) numbers[ID];
    ret->icmp_type = (uint8_t) numbers[TYPE];
    ret->icmp_code = (uint8_t) numbers[CODE];
    return ret->src.family && ret->src.family == ret->dst.family && (ret->has_ports || ret->has_icmp);
}

/* The state among what is told of the protocol; one of odd characters is none. */
static bool
read_state(struct piece rest, char out[SP_CONNTRACK_STATE_SIZE])
{
    struct piece key, value;
    while (rest.size) {
        if (!take_field(&rest, &key, &value)) {
            return false;
        }
        if (!is(key, "state") || value.size >= SP_CONNTRACK_STATE_SIZE) {
            continue;
        }
        size_t n = 0;
        while (n < value.size && value.text[n] && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", value.text[n])) {
            n++;
        }
        if (n == value.size) {
            memcpy(out, value.text, n);
            out[n] = '\0';
        }
    }
    return true;
}

int
sp_conntrack_parse(const char *line, size_t size, struct sp_conntrack *ret)
{
    struct sp_conntrack it = {0};
    struct piece rest = {line, size}, key, value;
    bool has_tuple = false;
    uint32_t number;
    if (!take_field(&rest, &key, &value) || value.size || !read_protocol(key, &it.protocol)) {
        return SP_E_SYNTAX;
    }
    while (rest.size) {
        if (!take_field(&rest, &key, &value)) {
            return SP_E_SYNTAX;
        }
        bool good = true;
        if (is(key, "orig")) {
            good = !has_tuple && read_tuple(value, &it);
            has_tuple = true;
        } else if (is(key, "zone") && (good = read_number(value, UINT16_MAX, &number))) {
            it.zone = (uint16_t) number;
        } else if (is(key, "mark") && (good = read_number(value, UINT32_MAX, &number))) {
            it.mark = number;
        } else if (is(key, "timeout") && (good = read_number(value, UINT32_MAX, &number))) {
            it.has_timeout = true;
            it.timeout_s = number;
        } else if (is(key, "protoinfo")) {
            good = read_state(value, it.state);
        }
        if (!good) {
            return SP_E_SYNTAX;
        }
    }
    if (!has_tuple) {
        return SP_E_SYNTAX;
    }
    *ret = it;
    return 0;
}
