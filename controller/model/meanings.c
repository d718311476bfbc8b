#include "controller/model/meanings.h"

#include <errno.h>
#include <stdlib.h>

#include "controller/model/index.h"

/* Equal meanings hash alike: what sp_meaning_equal() treats as equal in some case (all ports, whole families) is left out. */
static size_t hash(const struct sp_meaning *meaning)
{
    bool has_ports = meaning->port_min > 0 || (meaning->port_max >= 0 && meaning->port_max < 65535);
    bool has_cidr = meaning->remote == SP_REMOTE_CIDR && meaning->remote_cidr.prefix;
    int32_t numbers[] = { meaning->direction, meaning->action, meaning->priority, meaning->protocol, meaning->icmp_type,
                          meaning->icmp_code, has_ports ? meaning->port_min : -1, has_ports ? meaning->port_max : -1 };
    uint32_t result = sp_index_hash(0, numbers, sizeof numbers);
    if (has_cidr) {
        return sp_index_hash(result, &meaning->remote_cidr, sizeof meaning->remote_cidr);
    }
    if (meaning->remote == SP_REMOTE_GROUP) {
        return sp_index_hash(result, &meaning->remote_group, sizeof meaning->remote_group);
    }
    return result;
}

int sp_meanings_init(struct sp_meanings *meanings, size_t n)
{
    size_t n_slots = 4;
    while (n_slots < 2 * n) {
        n_slots *= 2;
    }
    meanings->slots = calloc(n_slots, sizeof *meanings->slots);
    meanings->mask = n_slots - 1;
    return meanings->slots ? 0 : -ENOMEM;
}

void sp_meanings_clear(struct sp_meanings *meanings)
{
    free(meanings->slots);
    *meanings = (struct sp_meanings) { 0 };
}

void sp_meanings_add(struct sp_meanings *meanings, const struct sp_rule *rule)
{
    size_t i = hash(&rule->meaning);
    while (meanings->slots[i & meanings->mask]) {
        i++;
    }
    meanings->slots[i & meanings->mask] = rule;
}

const struct sp_rule *sp_meanings_find(const struct sp_meanings *meanings, const struct sp_meaning *meaning)
{
    const struct sp_rule *rule;
    for (size_t i = hash(meaning); (rule = meanings->slots[i & meanings->mask]); i++) {
        if (sp_meaning_equal(&rule->meaning, meaning)) {
            return rule;
        }
    }
    return NULL;
}
