#include "tests/support/fake_switch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openflow/nicira-ext.h>
#include <openvswitch/dynamic-string.h>
#include <openvswitch/match.h>
#include <openvswitch/ofp-actions.h>
#include <openvswitch/ofp-bundle.h>
#include <openvswitch/ofp-errors.h>
#include <openvswitch/ofp-flow.h>
#include <openvswitch/ofp-meter.h>
#include <openvswitch/ofp-monitor.h>
#include <openvswitch/ofp-msgs.h>
#include <openvswitch/ofp-packet.h>
#include <openvswitch/ofp-port.h>
#include <openvswitch/ofp-switch.h>
#include <openvswitch/ofp-util.h>
#include <openvswitch/ofpbuf.h>

#include "sallyport/pipeline.h"
#include "tests/support/fake_zones.h"

struct fake_entry {
    struct minimatch match;
    uint64_t cookie;
    int priority;
    uint8_t table;
    struct ofpact *ofpacts;
    size_t ofpacts_size;
    enum ofputil_flow_mod_flags flags;
    uint64_t packets;
    uint64_t bytes;
};

static enum ofputil_protocol protocol_of(const struct fake_switch *fs)
{
    return ofputil_protocol_from_ofp_version(fs->version);
}

static void say_hello(struct fake_switch *fs)
{
    struct ofpbuf *msg = ofputil_encode_hello(fs->versions);

    fake_switch_send(fs, msg);
}

void fake_switch_init(struct fake_switch *fs, uint64_t dpid, size_t n_ports)
{
    *fs = (struct fake_switch){
        .dpid = dpid, .name = "br0", .versions = 1u << 5 | 1u << 6, .n_ports = n_ports, .table_limit = 1u << 24, .mute_type = -1};
    assert(n_ports <= FAKE_PORTS_MAX);
    for (size_t i = 0; i < n_ports; i++) {
        fs->ports[i].no = (uint16_t) (i + 1);
        snprintf(fs->ports[i].name, sizeof fs->ports[i].name, "p%zu", i + 1);
    }
    say_hello(fs);
}

static void drop_bundle(struct fake_switch *fs)
{
    for (size_t i = 0; i < fs->n_bundle; i++) {
        ofpbuf_delete(fs->bundle[i]);
    }
    fs->n_bundle = 0;
    fs->bundle_open = false;
}

/* 'entry' has come, or is going. */
static void note_zone(struct fake_switch *fs, const struct fake_entry *entry, bool there)
{
    struct match match;

    minimatch_expand(&entry->match, &match);
    if (there && SP_COOKIE_KIND(entry->cookie) == SP_COOKIE_OWNED) {
        fake_zones_open(&fs->zones, match.flow.ct_zone, entry->cookie);
    } else if (!there && entry->table == SP_T_PORT_SET) {
        fake_zones_close(fs->zones, match.flow.ct_zone);
    }
}

static void free_entry(struct fake_switch *fs, struct fake_entry *entry)
{
    note_zone(fs, entry, false);
    minimatch_destroy(&entry->match);
    free(entry->ofpacts);
}

void fake_switch_clear(struct fake_switch *fs)
{
    drop_bundle(fs);
    for (size_t i = 0; i < fs->n_entries; i++) {
        free_entry(fs, &fs->entries[i]);
    }
    free(fs->zones);
    free(fs->entries);
    free(fs->bundle);
    free(fs->in);
    free(fs->out);
}

void fake_switch_reconnect(struct fake_switch *fs)
{
    drop_bundle(fs);
    fs->in_size = fs->out_size = 0;
    fs->version = 0;
    fs->monitored = false;
    fs->controller_id = 0;
    say_hello(fs);
}

void fake_switch_send(struct fake_switch *fs, struct ofpbuf *msg)
{
    ofpmsg_update_length(msg);
    if (!fs->forget_replies) {
        if (fs->out_size + msg->size > fs->out_capacity) {
            fs->out_capacity = 2 * (fs->out_size + msg->size);
            fs->out = realloc(fs->out, fs->out_capacity);
            assert(fs->out);
        }
        memcpy(fs->out + fs->out_size, msg->data, msg->size);
        fs->out_size += msg->size;
    }
    ofpbuf_delete(msg);
}

size_t fake_switch_output(struct fake_switch *fs, void *data, size_t size)
{
    size = size < fs->out_size ? size : fs->out_size;
    if (size) {
        memcpy(data, fs->out, size);
        fs->out_size -= size;
        memmove(fs->out, fs->out + size, fs->out_size);
    }
    return size;
}

static struct fake_entry *find(struct fake_switch *fs, const struct ofputil_flow_mod *fm)
{
    for (size_t i = 0; i < fs->n_entries; i++) {
        struct fake_entry *entry = &fs->entries[i];

        if (entry->priority == fm->priority && entry->table == fm->table_id && minimatch_equal(&entry->match, &fm->match)) {
            return entry;
        }
    }
    return NULL;
}

/* What 'entry', which is going, has counted, if it is to be told. */
static void tell_removed(struct fake_switch *fs, const struct fake_entry *entry)
{
    struct ofputil_flow_removed removed = {
        .cookie = htobe64(entry->cookie),
        .priority = (uint16_t) entry->priority,
        .reason = OFPRR_DELETE,
        .table_id = entry->table,
        .packet_count = entry->packets,
        .byte_count = entry->bytes,
    };

    if (entry->flags & OFPUTIL_FF_SEND_FLOW_REM && fs->version) {
        minimatch_expand(&entry->match, &removed.match);
        fake_switch_send(fs, ofputil_encode_flow_removed(&removed, protocol_of(fs)));
    }
}

/* Carries out 'fm'; takes its match. */
static enum ofperr modify(struct fake_switch *fs, struct ofputil_flow_mod *fm)
{
    struct fake_entry *entry = find(fs, fm);
    struct fake_entry new = {
        .match = fm->match, .cookie = be64toh(fm->new_cookie), .priority = fm->priority, .table = fm->table_id,
        .flags = fm->flags & OFPUTIL_FF_STATE};

    if (fm->command == OFPFC_DELETE_STRICT) {
        if (entry && (entry->cookie & be64toh(fm->cookie_mask)) == be64toh(fm->cookie)) {
            tell_removed(fs, entry);
            free_entry(fs, entry);
            *entry = fs->entries[--fs->n_entries];
            fs->n_flow_mods++;
        }
        minimatch_destroy(&fm->match);
        return 0;
    }
    assert(fm->command == OFPFC_ADD);
    if (!entry && fs->n_entries >= fs->table_limit) {
        minimatch_destroy(&fm->match);
        return OFPERR_OFPFMFC_TABLE_FULL;
    }
    new.ofpacts = malloc(fm->ofpacts_len + 1);
    assert(new.ofpacts);
    memcpy(new.ofpacts, fm->ofpacts, fm->ofpacts_len);
    new.ofpacts_size = fm->ofpacts_len;
    if (entry) {
        new.packets = entry->packets; /* Unless OFPFF_RESET_COUNTS is asked for. */
        new.bytes = entry->bytes;
        free_entry(fs, entry);
    } else {
        if (fs->n_entries == fs->entries_capacity) {
            fs->entries_capacity = 2 * fs->entries_capacity + 16;
            fs->entries = realloc(fs->entries, fs->entries_capacity * sizeof *fs->entries);
            assert(fs->entries);
        }
        entry = &fs->entries[fs->n_entries++];
    }
    *entry = new;
    note_zone(fs, entry, true);
    fs->n_flow_mods++;
    return 0;
}

static struct fake_meter *find_meter(struct fake_switch *fs, uint32_t id)
{
    for (size_t i = 0; i < fs->n_meters; i++) {
        if (fs->meters[i].id == id) {
            return &fs->meters[i];
        }
    }
    return NULL;
}

static enum ofperr decode(struct fake_switch *fs, const struct ofp_header *oh, struct ofputil_flow_mod *fm,
                          struct ofpbuf *ofpacts)
{
    return ofputil_decode_flow_mod(fm, oh, protocol_of(fs), NULL, NULL, ofpacts, OFPP_MAX, 254);
}

static void refuse(struct fake_switch *fs, enum ofperr error, const struct ofp_header *oh)
{
    fake_switch_send(fs, ofperr_encode_reply(error, oh));
}

static void bundle_add(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofputil_bundle_add_msg add;
    struct ofputil_flow_mod fm;
    uint64_t stub[256];
    struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
    enum ofptype type;
    enum ofperr error = ofputil_decode_bundle_add(oh, &add, &type);

    if (!error && (!fs->bundle_open || add.bundle_id != fs->bundle_id)) {
        error = OFPERR_OFPBFC_BAD_ID;
    }
    if (!error) {
        error = decode(fs, add.msg, &fm, &ofpacts);
    }
    if (!error && fm.command == OFPFC_ADD && ofpacts_get_meter(fm.ofpacts, fm.ofpacts_len) &&
        !find_meter(fs, ofpacts_get_meter(fm.ofpacts, fm.ofpacts_len))) {
        minimatch_destroy(&fm.match);
        error = OFPERR_OFPMMFC_INVALID_METER;
    }
    if (!error && fs->refuse_mask && fm.command == OFPFC_ADD && (be64toh(fm.new_cookie) & fs->refuse_mask) == fs->refuse_cookie) {
        minimatch_destroy(&fm.match);
        error = OFPERR_OFPFMFC_EPERM;
    }
    if (error) {
        refuse(fs, error, oh);
    } else {
        minimatch_destroy(&fm.match);
        if (fs->n_bundle == fs->bundle_capacity) {
            fs->bundle_capacity = 2 * fs->bundle_capacity + 16;
            fs->bundle = realloc(fs->bundle, fs->bundle_capacity * sizeof *fs->bundle);
            assert(fs->bundle);
        }
        fs->bundle[fs->n_bundle++] = ofpbuf_clone_data(add.msg, ntohs(add.msg->length));
    }
    ofpbuf_uninit(&ofpacts);
}

/* Additions that would not fit refuse the whole bundle, as if it had been rolled back. */
static bool commit(struct fake_switch *fs, const struct ofp_header *oh)
{
    size_t n = fs->n_entries;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < fs->n_bundle; i++) {
            struct ofputil_flow_mod fm;
            uint64_t stub[256];
            struct ofpbuf ofpacts = OFPBUF_STUB_INITIALIZER(stub);
            enum ofperr error = decode(fs, fs->bundle[i]->data, &fm, &ofpacts);

            assert(!error);
            if (pass) {
                modify(fs, &fm);
            } else {
                n += fm.command == OFPFC_ADD && !find(fs, &fm);
                if (n > fs->table_limit) {
                    refuse(fs, OFPERR_OFPFMFC_TABLE_FULL, fs->bundle[i]->data);
                    refuse(fs, OFPERR_OFPBFC_MSG_FAILED, oh);
                    pass = 2;
                    i = fs->n_bundle;
                }
                minimatch_destroy(&fm.match);
            }
            ofpbuf_uninit(&ofpacts);
        }
        if (pass > 1) {
            return false;
        }
    }
    return true;
}

static void bundle_control(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofputil_bundle_ctrl_msg control;

    assert(!ofputil_decode_bundle_ctrl(oh, &control));
    switch (control.type) {
    case OFPBCT_OPEN_REQUEST:
        if (fs->refuse_open) {
            refuse(fs, OFPERR_OFPBFC_OUT_OF_BUNDLES, oh);
            return;
        }
        drop_bundle(fs);
        fs->bundle_open = true;
        fs->bundle_id = control.bundle_id;
        break;
    case OFPBCT_COMMIT_REQUEST:
        if (!fs->bundle_open) {
            refuse(fs, OFPERR_OFPBFC_BAD_ID, oh);
            return;
        }
        fs->n_commits++;
        if (!commit(fs, oh)) {
            drop_bundle(fs);
            return;
        }
        drop_bundle(fs);
        break;
    case OFPBCT_DISCARD_REQUEST:
        if (!fs->bundle_open) {
            refuse(fs, OFPERR_OFPBFC_BAD_ID, oh);
            return;
        }
        fs->n_discards++;
        drop_bundle(fs);
        break;
    default:
        refuse(fs, OFPERR_OFPBFC_BAD_TYPE, oh);
        return;
    }
    control.type++;
    fake_switch_send(fs, ofputil_encode_bundle_ctrl_reply(oh, &control));
}

static void send_features(struct fake_switch *fs, const struct ofp_header *oh)
{
    const struct ofputil_switch_features features = {
        .datapath_id = fs->dpid, .n_tables = 254, .capabilities = OFPUTIL_C_FLOW_STATS | OFPUTIL_C_BUNDLES};

    fake_switch_send(fs, ofputil_encode_switch_features(&features, protocol_of(fs), oh->xid));
}

static void send_description(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofpbuf *msg = ofpraw_alloc_stats_reply(oh, 0);
    struct ofp_desc_stats *desc = ofpbuf_put_zeros(msg, sizeof *desc);

    snprintf(desc->mfr_desc, sizeof desc->mfr_desc, "Tests");
    snprintf(desc->sw_desc, sizeof desc->sw_desc, "3.1.0");
    snprintf(desc->dp_desc, sizeof desc->dp_desc, "%s", fs->name);
    fake_switch_send(fs, msg);
}

static void send_list(struct fake_switch *fs, struct ovs_list *replies)
{
    while (!ovs_list_is_empty(replies)) {
        struct ofpbuf *msg = ofpbuf_from_list(ovs_list_pop_front(replies));

        fake_switch_send(fs, msg);
    }
}

static struct ofputil_phy_port phy_port(uint16_t no, const char *name)
{
    struct ofputil_phy_port pp = {.port_no = OFP_PORT_C(no)};

    snprintf(pp.name, sizeof pp.name, "%s", name);
    return pp;
}

static void send_ports(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ovs_list replies;

    ofpmp_init(&replies, oh);
    for (size_t i = 0; i < fs->n_ports; i++) {
        struct ofputil_phy_port pp = phy_port(fs->ports[i].no, fs->ports[i].name);

        ofputil_append_port_desc_stats_reply(&pp, &replies);
    }
    send_list(fs, &replies);
}

static void send_flows(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofputil_flow_stats_request request;
    struct ovs_list replies;

    assert(!ofputil_decode_flow_stats_request(&request, oh, NULL, NULL));
    fs->n_dumps++;
    ofpmp_init(&replies, oh);
    for (size_t i = 0; i < fs->n_entries; i++) {
        const struct fake_entry *entry = &fs->entries[i];
        struct ofputil_flow_stats stats = {
            .cookie = htobe64(entry->cookie),
            .table_id = entry->table,
            .priority = (uint16_t) entry->priority,
            .idle_age = -1,
            .hard_age = -1,
            .flags = entry->flags,
            .packet_count = entry->packets,
            .byte_count = entry->bytes,
            .ofpacts = entry->ofpacts,
            .ofpacts_len = entry->ofpacts_size,
        };

        if ((entry->cookie & be64toh(request.cookie_mask)) == be64toh(request.cookie)) {
            minimatch_expand(&entry->match, &stats.match);
            ofputil_append_flow_stats_reply(&stats, &replies, NULL);
        }
    }
    send_list(fs, &replies);
}

static void send_meters(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ovs_list replies;

    ofpmp_init(&replies, oh);
    for (size_t i = 0; i < fs->n_meters; i++) {
        struct ofputil_meter_band band = {
            .type = OFPMBT13_DROP, .rate = fs->meters[i].rate, .burst_size = fs->meters[i].burst};
        const struct ofputil_meter_config config = {
            .meter_id = fs->meters[i].id, .flags = OFPMF13_PKTPS | OFPMF13_BURST, .n_bands = 1, .bands = &band};

        ofputil_append_meter_config(&replies, &config);
    }
    send_list(fs, &replies);
}

static void take_meter(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofpbuf bands;
    struct ofputil_meter_mod mod;
    struct fake_meter *meter;

    ofpbuf_init(&bands, 64);
    assert(!ofputil_decode_meter_mod(oh, &mod, &bands));
    meter = find_meter(fs, mod.meter.meter_id);
    if (fs->refuse_meters) {
        refuse(fs, OFPERR_OFPMMFC_INVALID_METER, oh);
    } else if (mod.command == OFPMC13_ADD && meter) {
        refuse(fs, OFPERR_OFPMMFC_METER_EXISTS, oh);
    } else if (mod.command == OFPMC13_MODIFY && !meter) {
        refuse(fs, OFPERR_OFPMMFC_UNKNOWN_METER, oh);
    } else {
        assert(mod.command != OFPMC13_DELETE && fs->n_meters < FAKE_METERS_MAX);
        meter = meter ? meter : &fs->meters[fs->n_meters++];
        *meter = (struct fake_meter){mod.meter.meter_id, mod.meter.bands[0].rate, mod.meter.bands[0].burst_size};
        fs->n_meter_mods++;
    }
    ofpbuf_uninit(&bands);
}

static void take_controller_id(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    const struct nx_controller_id *id;
    enum ofptype type;

    assert(!ofptype_pull(&type, &b));
    id = b.data;
    fs->controller_id = ntohs(id->controller_id);
}

static void begin_monitor(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofputil_flow_monitor_request request;
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    struct ovs_list replies;

    if (fs->refuse_monitor) {
        refuse(fs, OFPERR_OFPBRC_BAD_STAT, oh);
        return;
    }
    assert(!ofputil_decode_flow_monitor_request(&request, &b));
    assert(request.flags == (OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY) && request.table_id == OFPTT_ALL);
    fs->monitored = true;
    ofpmp_init(&replies, oh);
    send_list(fs, &replies);
}

static void tell(struct fake_switch *fs, enum ofp_flow_update_event what, const struct fake_entry *entry)
{
    struct ovs_list updates = OVS_LIST_INITIALIZER(&updates);
    struct ofputil_flow_update update = {
        .event = what,
        .cookie = htobe64(entry->cookie),
        .table_id = entry->table,
        .priority = (uint16_t) entry->priority,
    };

    if (fs->monitored && fs->tell_changes) {
        minimatch_expand(&entry->match, &update.match);
        ofputil_start_flow_update(&updates, protocol_of(fs));
        ofputil_append_flow_update(&update, &updates, NULL);
        send_list(fs, &updates);
    }
}

static void flush_zone(struct fake_switch *fs, const struct ofp_header *oh)
{
    struct ofpbuf b = ofpbuf_const_initializer(oh, ntohs(oh->length));
    const struct nx_zone_id *zone;
    enum ofptype type;

    assert(!ofptype_pull(&type, &b));
    zone = b.data;
    if (fs->refuse_flush) {
        refuse(fs, OFPERR_OFPBRC_BAD_TYPE, oh);
    } else {
        fake_zones_flush(fs->zones, ntohs(zone->zone_id));
        fs->flushed[fs->n_flushed++ % FAKE_ZONES_MAX] = ntohs(zone->zone_id);
    }
}

static void handle(struct fake_switch *fs, const struct ofp_header *oh)
{
    enum ofptype type;
    uint32_t allowed = 0;

    if (oh->type == 0) {
        ofputil_decode_hello(oh, &allowed);
        fs->version = fs->versions & allowed & 1u << 6 ? 6 : 5;
        return;
    }
    if (ofptype_decode(&type, oh)) {
        fs->broken = true;
        return;
    }
    if ((int) type == fs->mute_type) {
        return;
    }
    switch (type) {
    case OFPTYPE_ECHO_REQUEST:
        fake_switch_send(fs, ofputil_encode_echo_reply(oh));
        break;
    case OFPTYPE_ECHO_REPLY:
        fs->n_echo_replies++;
        break;
    case OFPTYPE_FEATURES_REQUEST:
        send_features(fs, oh);
        break;
    case OFPTYPE_DESC_STATS_REQUEST:
        send_description(fs, oh);
        break;
    case OFPTYPE_PORT_DESC_STATS_REQUEST:
        send_ports(fs, oh);
        break;
    case OFPTYPE_FLOW_STATS_REQUEST:
        send_flows(fs, oh);
        break;
    case OFPTYPE_FLOW_MONITOR_STATS_REQUEST:
        begin_monitor(fs, oh);
        break;
    case OFPTYPE_METER_CONFIG_STATS_REQUEST:
        send_meters(fs, oh);
        break;
    case OFPTYPE_METER_MOD:
        take_meter(fs, oh);
        break;
    case OFPTYPE_SET_CONTROLLER_ID:
        take_controller_id(fs, oh);
        break;
    case OFPTYPE_BARRIER_REQUEST:
        fake_switch_send(fs, ofpraw_alloc_reply(OFPRAW_OFPT11_BARRIER_REPLY, oh, 0));
        break;
    case OFPTYPE_BUNDLE_CONTROL:
        bundle_control(fs, oh);
        break;
    case OFPTYPE_BUNDLE_ADD_MESSAGE:
        bundle_add(fs, oh);
        break;
    case OFPTYPE_CT_FLUSH_ZONE:
        flush_zone(fs, oh);
        break;
    case OFPTYPE_SET_CONFIG:
    case OFPTYPE_SET_ASYNC_CONFIG:
    case OFPTYPE_ERROR:
        break;
    default:
        fs->broken = true;
    }
}

void fake_switch_receive(struct fake_switch *fs, const void *data, size_t size)
{
    size_t at = 0;

    fs->in = realloc(fs->in, fs->in_size + size + 1);
    assert(fs->in);
    memcpy(fs->in + fs->in_size, data, size);
    fs->in_size += size;
    while (fs->in_size - at >= 8) {
        size_t length = (size_t) fs->in[at + 2] << 8 | fs->in[at + 3];
        bool is_dump = fs->in[at + 1] == 18 && length >= 10 && fs->in_size - at >= length && fs->in[at + 9] == 1;
        struct ofp_header *oh;

        fs->broken = fs->broken || length < 8;
        if (length < 8 || fs->in_size - at < length || (is_dump && fs->hold_dumps)) {
            break;
        }
        oh = malloc(length);
        assert(oh);
        memcpy(oh, fs->in + at, length);
        at += length;
        handle(fs, oh);
        free(oh);
    }
    fs->in_size -= at;
    memmove(fs->in, fs->in + at, fs->in_size);
}

void fake_switch_port_status(struct fake_switch *fs, uint16_t no, const char *name, bool deleted)
{
    const struct ofputil_port_status status = {.reason = deleted ? OFPPR_DELETE : OFPPR_ADD, .desc = phy_port(no, name)};
    size_t i = 0;

    while (i < fs->n_ports && fs->ports[i].no != no) {
        i++;
    }
    if (deleted && i < fs->n_ports) {
        fs->ports[i] = fs->ports[--fs->n_ports];
    } else if (!deleted) {
        assert(i < FAKE_PORTS_MAX);
        fs->ports[i].no = no;
        snprintf(fs->ports[i].name, sizeof fs->ports[i].name, "%s", name);
        fs->n_ports += i == fs->n_ports;
    }
    if (fs->version) {
        fake_switch_send(fs, ofputil_encode_port_status(&status, protocol_of(fs)));
    }
}

/* What 'fm' is about to do. */
static void tell_text(struct fake_switch *fs, struct ofputil_flow_mod *fm)
{
    struct fake_entry *entry = find(fs, fm);
    struct fake_entry new = {
        .match = fm->match, .cookie = be64toh(fm->new_cookie), .priority = fm->priority, .table = fm->table_id};

    if (fm->command == OFPFC_ADD) {
        tell(fs, entry ? OFPFME_MODIFIED : OFPFME_ADDED, &new);
    } else if (entry) {
        tell(fs, OFPFME_REMOVED, entry);
    }
}

static void modify_text(struct fake_switch *fs, const char *flow, int command)
{
    enum ofputil_protocol usable;
    struct ofputil_flow_mod fm;
    char *error = parse_ofp_flow_mod_str(&fm, flow, NULL, NULL, command, &usable);
    struct match match;

    assert(!error);
    minimatch_expand(&fm.match, &match);
    match_set_default_packet_type(&match);
    minimatch_destroy(&fm.match);
    minimatch_init(&fm.match, &match);
    tell_text(fs, &fm);
    modify(fs, &fm);
    free(fm.ofpacts);
}

void fake_switch_add_flow(struct fake_switch *fs, const char *flow)
{
    modify_text(fs, flow, OFPFC_ADD);
}

void fake_switch_delete_flow(struct fake_switch *fs, const char *flow)
{
    modify_text(fs, flow, OFPFC_DELETE_STRICT);
}

size_t fake_switch_forget(struct fake_switch *fs, uint64_t cookie, uint64_t mask)
{
    size_t n = 0;

    for (size_t i = fs->n_entries; i-- > 0;) {
        if ((fs->entries[i].cookie & mask) == cookie) {
            tell(fs, OFPFME_REMOVED, &fs->entries[i]);
            free_entry(fs, &fs->entries[i]);
            fs->entries[i] = fs->entries[--fs->n_entries];
            n++;
        }
    }
    return n;
}

void fake_switch_deny(struct fake_switch *fs, const struct fake_denied *denied)
{
    struct ofputil_packet_in_private pin = {
        .base = {
            .packet = (void *) (uintptr_t) denied->packet,
            .packet_len = denied->size,
            .reason = OFPR_ACTION,
            .table_id = denied->table,
            .cookie = htobe64(SP_COOKIE(SP_COOKIE_REPORT, 0)),
        },
    };
    struct match *match = &pin.base.flow_metadata;

    if (fs->controller_id != SP_CONTROLLER_ID) {
        return;
    }
    match_init_catchall(match);
    match_set_in_port(match, OFP_PORT_C(denied->in_port));
    match_set_reg(match, SP_R_SET - SP_F_REG0, denied->set);
    match_set_reg(match, SP_R_PHASE - SP_F_REG0, denied->phase);
    match_set_reg(match, SP_R_ZONE - SP_F_REG0, denied->zone);
    match_set_reg(match, SP_R_MARK - SP_F_REG0, denied->mark);
    match_set_reg(match, SP_R_OUT - SP_F_REG0, denied->out);
    fake_switch_send(fs, ofputil_encode_packet_in_private(&pin, protocol_of(fs), OFPUTIL_PACKET_IN_STD));
}

size_t fake_switch_hit(struct fake_switch *fs, uint64_t cookie, uint8_t table, uint64_t packets, uint64_t bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < fs->n_entries; i++) {
        if (fs->entries[i].cookie == cookie && fs->entries[i].table == table) {
            fs->entries[i].packets += packets;
            fs->entries[i].bytes += bytes;
            n++;
        }
    }
    return n;
}

size_t fake_switch_count(const struct fake_switch *fs, uint64_t cookie, uint64_t mask)
{
    size_t n = 0;

    for (size_t i = 0; i < fs->n_entries; i++) {
        n += (fs->entries[i].cookie & mask) == cookie;
    }
    return n;
}

static const struct fake_entry *find_twin(const struct fake_switch *fs, const struct fake_entry *entry)
{
    for (size_t i = 0; i < fs->n_entries; i++) {
        const struct fake_entry *other = &fs->entries[i];

        if (other->table == entry->table && other->priority == entry->priority && other->cookie == entry->cookie
            && minimatch_equal(&other->match, &entry->match)) {
            return other;
        }
    }
    return NULL;
}

bool fake_switch_equal(const struct fake_switch *a, const struct fake_switch *b, char *why, size_t why_size)
{
    if (a->n_entries != b->n_entries) {
        snprintf(why, why_size, "%zu flows and %zu", a->n_entries, b->n_entries);
        return false;
    }
    for (size_t i = 0; i < a->n_entries; i++) {
        const struct fake_entry *entry = &a->entries[i], *twin = find_twin(b, entry);

        if (!twin || !ofpacts_equal_stringwise(entry->ofpacts, entry->ofpacts_size, twin->ofpacts, twin->ofpacts_size)) {
            struct ds text = DS_EMPTY_INITIALIZER;
            struct ofpact_format_params params = {.s = &text};

            ofpacts_format(entry->ofpacts, entry->ofpacts_size, &params);
            ds_put_cstr(&text, twin ? ", the other " : ", the other has none");
            if (twin) {
                ofpacts_format(twin->ofpacts, twin->ofpacts_size, &params);
            }
            snprintf(why, why_size, "table %u, priority %d, cookie %#llx: %s", entry->table, entry->priority,
                     (unsigned long long) entry->cookie, ds_cstr(&text));
            ds_destroy(&text);
            return false;
        }
    }
    return true;
}
