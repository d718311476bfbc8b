/* What an OVSDB server may send: the first byte says in pieces of which size it comes. */

#include <string.h>

#include "controller/ovsdb/follow.h"
#include "tests/fuzz/fuzz.h"

static void check_readings(const struct sp_replica *replica)
{
    struct sp_bindings bindings;
    struct sp_flaws flaws;

    FUZZ_CHECK(!sp_replica_bindings(replica, &bindings));
    for (size_t i = 1; i < bindings.n; i++) {
        FUZZ_CHECK(sp_binding_compare(&bindings.items[i - 1], &bindings.items[i]) < 0);
    }
    sp_bindings_clear(&bindings);
    FUZZ_CHECK(!sp_replica_flaws(replica, &flaws));
    for (size_t i = 1; i < flaws.n; i++) {
        FUZZ_CHECK(flaws.items[i - 1].dpid < flaws.items[i].dpid);
    }
    sp_flaws_clear(&flaws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_follow follow;
    struct sp_replica before;
    char out[512];
    size_t piece;
    int r = 0;

    if (!size) {
        return 0;
    }
    piece = 1 + data[0] * 16u;
    sp_replica_init(&before);
    FUZZ_CHECK(!sp_follow_init(&follow));
    for (size_t at = 1; at < size && !r; at += piece) {
        r = sp_follow_receive(&follow, data + at, piece < size - at ? piece : size - at);
        FUZZ_CHECK(!r || (r > 0 && follow.why[0]));
        if (!r && sp_follow_take_change(&follow)) {
            sp_replica_inherit(&follow.replica, &before);
            check_readings(&follow.replica);
        }
        while (sp_follow_output(&follow, out, sizeof out)) {
        }
        if (!r) {
            FUZZ_CHECK(!sp_follow_echo(&follow));
        }
    }
    sp_follow_clear(&follow);
    sp_replica_clear(&before);
    return 0;
}
