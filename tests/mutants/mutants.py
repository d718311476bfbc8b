"""The seeded bugs.

Each is one mistake that a careful person could make: a name, what is wrong with it, one or more replacements of text (file, old,
new), and the tests that are asked first, being nearest.  'old' must stand in its file exactly once; write it so that it holds
together what the mutant is about and little else.  What no test can tell from the original is not a bug and not listed."""

from collections import namedtuple

Edit = namedtuple("Edit", "file old new")
Mutant = namedtuple("Mutant", "name wrong edits near")

MUTANTS = []


def mutant(name, wrong, *edits, near=()):
    """'edits': triples of file, old and new text; 'near': tests as `suite/name` or `suite/file.py`."""
    MUTANTS.append(Mutant(name, wrong, [Edit(*edit) for edit in edits], list(near)))


RANGE, RULES, STATIC = "flows/range.c", "flows/compile_rules.c", "flows/compile_static.c"
FORWARD, PORT, ADMISSION = "flows/compile_forward.c", "flows/compile_port.c", "flows/admission.c"
REPORTS = "flows/compile_reports.c"
PIPELINE, UNNAMED, NAMED = "include/sallyport/pipeline.h", "flows/unnamed.c", "flows/named.c"

# Rules to flows.

mutant("range-mask-off-by-one", "each mask of a port range is one too wide",
       (RANGE, "next, (uint16_t) -size}", "next, (uint16_t) ~size}"), near=["unit/compile", "property/range"])
mutant("range-without-its-last-port", "a port range ends one port early",
       (RANGE, "while (next <= hi) {", "while (next < hi) {"), near=["property/range"])
mutant("full-range-as-none", "a rule for all ports matches none",
       (RULES, "    if (!names_ports(m)) {\n        rule_flow(e, set, rule, place, &aspect);\n", "    if (!names_ports(m)) {\n        n = 0;\n"), near=["unit/compile"])
mutant("half-open-range-as-full", "0-1023 and 1024-65535 match all ports",
       (RULES, "(m->port_min > 0 || m->port_max < 65535)", "(m->port_min > 0 && m->port_max < 65535)"), near=["property/compile"])
mutant("deny-loses-among-equals", "of two rules of one priority the one that allows decides",
       (PIPELINE, "((DENIES) ? 33 : 0)", "((DENIES) ? 0 : 33)"), near=["unit/compile", "property/compile"])
mutant("priority-order-reversed", "the highest priority number decides",
       (PIPELINE, "(10 + 64 * (1000 - (PRIORITY))", "(10 + 64 * ((PRIORITY) - 1)"), near=["unit/compile", "property/compile"])
mutant("short-masks-first", "the masks of a range are looked at in any order, and each leaves one in the datapath",
       (RULES, "__builtin_popcount(aspect->ports->mask) : 0", "1 : 0"), near=["system/test_readme_flows.py"])
mutant("unnamed-block-one-port-too-wide", "the last port of a rule that is the first one of a block of 256 is denied with the block",
       (NAMED, "i = lo / 64; 64 * i <= hi; i++", "i = lo / 64; 64 * i < hi; i++"),
       near=["property/named", "property/unnamed"])
mutant("unnamed-twice-as-wide", "the blocks of ports that no rule names are each one bit wider",
       (UNNAMED, "(uint16_t) (0xffffu << (16 - bits))};", "(uint16_t) (0xffffu << (17 - bits))};"),
       near=["unit/unnamed", "property/unnamed"])
mutant("unnamed-of-any-length", "each rule set's blocks look at another number of bits, and each number leaves a mask in the datapath",
       (UNNAMED, "n && bits < SP_UNNAMED_BITS; bits++", "n && bits > SP_UNNAMED_BITS; bits++"),
       near=["unit/unnamed", "system/test_flood.py"])
mutant("unnamed-without-remote-groups", "what a rule opens for a remote group is denied as if no rule named it",
       (RULES, "(m->remote != SP_REMOTE_CIDR || m->remote_cidr.family == naming->family);",
        "(m->remote == SP_REMOTE_ANY || (m->remote == SP_REMOTE_CIDR && m->remote_cidr.family == naming->family));"),
       near=["unit/compile", "property/unnamed"])
mutant("unnamed-by-one-family", "what a rule opens for IPv6 prefixes alone is denied as if no rule named it",
       (RULES, "m->remote_cidr.family == naming->family);", "m->remote_cidr.family == 4);"),
       near=["unit/compile", "property/unnamed"])
mutant("unnamed-beside-any-protocol", "what a rule opens for all protocols is denied on the ports that no other rule names",
       (RULES, "(m->protocol == naming->protocol || m->protocol == SP_PROTOCOL_ANY) &&", "m->protocol == naming->protocol &&"),
       near=["unit/compile", "property/unnamed"])
mutant("unnamed-as-if-none-were-for-all", "what a rule for all ports decides is denied on the ports that no other rule names",
       (RULES, "return !naming->wide ? SP_T_DENIED", "return naming ? SP_T_DENIED"), near=["unit/compile", "property/unnamed", "property/compile"])
mutant("nest-beside-named-ports", "the ports beside a rule's that another rule names are denied with its nest",
       (RULES, "!is_named(e, set, naming, m, (unsigned) m->port_max + 1, ret->nest_last + 1u)) {",
        "ret->nest_first <= ret->nest_last) {"), near=["unit/compile", "property/unnamed", "property/compile"])
mutant("nest-beside-the-same-remote-alone", "the ports beside a rule's that a rule for a larger prefix names are denied with its nest",
       (NAMED, "for (uint32_t i = find_outer(named, begin ? begin - 1 : NONE, remote); i != NONE;",
        "for (uint32_t i = NONE; i != NONE;"), near=["unit/compile", "property/named", "property/unnamed"])
mutant("nest-beside-a-part-of-its-remote", "the ports beside a rule's that a rule for a part of its prefix names are denied with its nest",
       (NAMED, "(behind && sp_cidr_contains(remote, prefix))", "(behind && sp_cidr_equal(remote, prefix))"),
       near=["unit/compile", "property/named", "property/unnamed"])
mutant("nest-within-the-nearest-alone", "of the prefixes that a rule's is a part of only the last is asked for ports beside the rule's",
       (NAMED, "i != NONE; i = named->prefixes[i].outer) {", "i != NONE; i = NONE) {"), near=["property/named", "property/unnamed"])
mutant("nest-beside-what-ends-first", "of the rules that name ports the last one to begin hides those that end behind it",
       (NAMED, "hi = next.hi > hi ? next.hi : hi;", "hi = next.hi;"), near=["property/named"])
mutant("nest-beside-a-group", "the ports beside a rule's that a rule for a remote group names are denied with its nest",
       (RULES, "if (m->remote == SP_REMOTE_CIDR) {\n                range->remote = m->remote_cidr;\n            }",
        "if (m->remote != SP_REMOTE_ANY) {\n                range->remote = m->remote_cidr;\n            }"),
       near=["unit/compile", "property/named", "property/unnamed"])
mutant("nest-cut-by-anybody", "a rule for a few addresses cuts the nests of rules for all others",
       (RULES, "if (m->remote != SP_REMOTE_CIDR || !m->remote_cidr.prefix) {", "if (m->remote != SP_REMOTE_CIDR || m->remote_cidr.prefix) {"),
       near=["unit/compile", "property/named"])
mutant("nest-for-good", "a nest stays as it is when another rule names a port that it takes out",
       (RULES, "if (old && !memcmp(old->unnamed, ret->unnamed, sizeof ret->unnamed)) {", "if (old) {"), near=["unit/compile"])
mutant("nest-takes-nothing-out", "a rule is for the ports beside its own as well",
       (RULES, "aspect.unnamed = nested[i].out ? unnamed : 0;", "aspect.unnamed = 0;"), near=["unit/compile", "property/compile"])
mutant("nest-counts-as-the-rule", "what a nest takes out of a rule that denies is counted as denied by it",
       (RULES, "    e->build.cookie = SP_COOKIE(SP_COOKIE_SET, set->number);\n", ""), near=["unit/compile", "system/test_counters.py"])
mutant("nest-larger-than-told", "of what a nest holds above its range nothing is known",
       (RANGE, "*ret_last = last > *ret_last ? last : *ret_last;", "*ret_last = last > *ret_last ? hi : *ret_last;"), near=["property/range", "property/unnamed"])
mutant("wide-by-tcp-alone", "beside a rule that names UDP ports, a rule for all of UDP is not asked for the others",
       (RULES, "(udp->n && is_about(", "(udp->n && !is_about("),
       near=["property/unnamed", "system/test_counters.py", "system/test_flood.py"])
mutant("wide-with-all-rules", "the ports that no rule names are looked for, each by itself, among all rules after all",
       (RULES, "if (asked && !names_ports(rule->meaning)) {", "if (asked) {"), near=["unit/compile", "system/test_flood.py"])
mutant("wide-in-the-other-direction", "the ports that no rule names are judged by the rules for the other direction",
       (RULES, "naming->inbound ? SP_T_WIDE_IN : SP_T_WIDE_OUT;", "naming->inbound ? SP_T_WIDE_OUT : SP_T_WIDE_IN;"), near=["unit/compile", "property/unnamed"])
mutant("wide-denials-uncounted", "what a rule for all ports denies where no rule names the port is not counted",
       ("flows/tally.c", "    case SP_T_WIDE_IN:\n", ""), near=["unit/tally", "system/test_counters.py"])
mutant("wide-denies-in-silence", "what nothing allows beside a rule for all ports is not reported",
       (STATIC, "    sp_emit_begin(e, SP_T_WIDE_IN, 1);\n    sp_emit_goto(e, SP_T_DENIED);\n", ""), near=["system/test_blocked.py"])
mutant("unnamed-below-the-rules", "the ports that no rule names are looked for after all rules, each by itself",
       (PIPELINE, "((uint16_t) (64100 + (PORT_BITS)))", "((uint16_t) (2 + (PORT_BITS) / 4))"), near=["unit/compile", "property/unnamed"])
mutant("established-before-the-gate", "established connections pass without the gate, so that nothing is ever revoked",
       (STATIC, "    sp_match_valid(sp_emit_begin(e, SP_T_TRACKED, 100));\n",
        "    sp_flow_match_uint(sp_emit_begin(e, SP_T_TRACKED, 150), SP_F_CT_STATE, SP_CT_VALID_VALUE | SP_CT_EST,\n"
        "                       SP_CT_VALID_MASK | SP_CT_EST);\n"
        "    sp_emit_goto(e, SP_T_PASSED);\n"
        "    sp_match_valid(sp_emit_begin(e, SP_T_TRACKED, 100));\n"), near=["property/compile", "system/test_change.py"])
mutant("replies-judged-by-the-other-direction", "the rules are chosen by the packet's direction, not by the connection's",
       (STATIC, "bool outbound = (phase == SP_PHASE_LEAVING) != reply;", "bool outbound = phase == SP_PHASE_LEAVING;"),
       near=["property/compile", "system/test_change.py"])
mutant("related-errors-unjudged", "an ICMP error passes whatever became of its connection",
       (STATIC, "sp_emit_begin(e, SP_T_COMMIT, 300)", "sp_emit_begin(e, SP_T_JUDGE, 300)"),
       near=["property/compile", "system/test_verdict.py"])
mutant("sctp-by-anothers-mark", "all SCTP between two addresses passes once one association is admitted",
       (STATIC, "b = sp_emit_begin(e, SP_T_GATE, 250);", "b = sp_emit_begin(e, SP_T_GATE, 150);"),
       near=["property/compile", "system/test_fragment.py"])
mutant("peers-inbound-rules-skipped", "what one server's outbound rules allow enters the next one unasked",
       (STATIC, "    guard_answers(e);\n",
        "    guard_answers(e);\n"
        "    sp_flow_match_uint(sp_emit_begin(e, SP_T_GUARD, 110), SP_R_ORIGIN, SP_FROM_SERVER, SP_FROM_SERVER);\n"
        "    sp_emit_goto(e, SP_T_DELIVERED);\n"), near=["property/compile", "system/test_verdict.py"])
mutant("only-the-first-class", "a remote group is the addresses of its first set of groups",
       (RULES, "aspect.class = rule->classes[i];", "aspect.class = rule->classes[0];"), near=["unit/compile", "property/compile"])
mutant("remote-is-the-own-address", "the class is that of the server's own address",
       (STATIC, "ipv4 = outbound ? SP_F_CT_NW_DST : SP_F_CT_NW_SRC", "ipv4 = outbound ? SP_F_CT_NW_SRC : SP_F_CT_NW_DST"), near=["property/compile"])
mutant("remote-by-half-of-its-address", "of an IPv6 address the first 64 bits make a member",
       (FORWARD, "i < (ip->family == 6 ? 4 : 1)", "i < (ip->family == 6 ? 2 : 1)"), near=["unit/compile", "property/compile", "system/test_verdict.py"])
mutant("remote-moved", "of an ICMP error about an answer the remote address is not known",
       (STATIC, "        sp_flow_copy(b, family", "        sp_flow_move(b, family"), near=["property/compile", "truth/test_revocation.py"])
mutant("remote-left-as-the-rule", "what nothing allows is reported as denied by a rule after remote groups were asked for",
       (STATIC, "words[i] == SP_R_MARK ? SP_MARK_FRAGMENT : 0", "0"), near=["system/test_blocked.py"])
mutant("remote-groups-of-every-region", "an address counts as a member in another region",
       (FORWARD, "    sp_flow_match_uint(b, SP_R_REGION, region, SP_REGION_MASK);\n", ""),
       near=["unit/compile", "property/compile"])
mutant("icmp-in-ipv6", "an icmp rule lets IPv6 packets of protocol 1 pass",
       (RULES, "(m->protocol == SP_PROTOCOL_ICMP && family == 6) || ", ""), near=["property/compile"])
mutant("icmp-code-zero-as-any", "a rule for code 0 matches every code",
       (RULES, "if (m->icmp_code >= 0) {", "if (m->icmp_code > 0) {"), near=["unit/compile", "property/compile"])
mutant("version-left-out", "a rule set's flows before ct() do not change with its version",
       (RULES, "    sp_flow_load_reg(b, SP_R_VERSION, set->version);\n    sp_emit_goto(e, SP_T_CONNTRACK);",
        "    sp_emit_goto(e, SP_T_CONNTRACK);"), near=["unit/compile"])
mutant("sender-by-the-version-before-ct", "what a new list lets go is taken in by the old one",
       (RULES, "    sp_flow_load_reg(b, SP_R_VERSION, set->version);\n    sp_flow_load_reg(b, SP_R_REGION,", "    sp_flow_load_reg(b, SP_R_REGION,"),
       near=["truth/test_one_verdict.py"])
mutant("sender-noted-behind-commit", "what the old rules admitted at its sender is taken for admitted by the new ones",
       (STATIC, "sp_emit_begin(e, SP_T_SENDER, 200)", "sp_emit_begin(e, SP_T_SENDER, 170)"), near=["truth/test_one_verdict.py"])
mutant("sender-not-asked", "a packet that its sender's old rules let go meets its receiver's new ones",
       (STATIC, "    sp_emit_goto(e, SP_T_SENDER);\n", "    sp_emit_goto(e, SP_T_GATE);\n"), near=["truth/test_one_verdict.py"])
mutant("anew-by-a-strangers-mark", "what begins again is let go by its receiver's mark, without its sender's rules",
       (STATIC, "    sp_flow_load_reg(b, SP_R_AGAIN, SP_AGAIN);\n    sp_emit_goto(e, SP_T_JUDGE);",
        "    sp_flow_load_reg(b, SP_R_AGAIN, SP_AGAIN);\n    sp_emit_goto(e, SP_T_GATE);"), near=["truth/test_one_verdict.py"])
mutant("anew-by-ct", "what begins again goes through ct() at its receiver, and the datapath gives it up, or another change overtakes it",
       (STATIC, "sp_emit_begin(e, SP_T_CONNTRACK, 200);\n    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_ENTERING);",
        "sp_emit_begin(e, SP_T_CONNTRACK, 50);\n    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_ENTERING);"),
       near=["truth/test_one_verdict.py"])
mutant("a-mark-that-nobody-knows-passes", "a fragment behind ct(commit) whose mark is dead is judged once more",
       (STATIC, "sp_emit_begin(e, SP_T_GATE, 190)", "sp_emit_begin(e, SP_T_GATE, 90)"), near=["formal/test_formal.py"])

# What never and what always passes.

mutant("router-advertisements-allowed", "a server may send router advertisements",
       (STATIC, "never[] = {ND_ROUTER_ADVERTISEMENT, ND_REDIRECT};", "never[] = {ND_REDIRECT};"), near=["formal/test_formal.py"])
mutant("dhcp-server-allowed", "a server may answer as a DHCP server if its rules let it",
       (STATIC,
        "match_udp(sp_emit_begin(e, SP_T_SOURCE, 300), SP_ETH_IPV4, DHCP_SERVER",
        "match_udp(sp_emit_begin(e, SP_T_SOURCE, 90), SP_ETH_IPV4, DHCP_SERVER"),
       near=["system/test_spoof.py"])
mutant("arp-sender-unchecked", "an ARP packet may come from any protocol address",
       (STATIC, "claim_ipv4(b, SP_F_ARP_SPA);\n        load_stage(b, SP_STAGE_ARP);\n        sp_emit_goto(e, SP_T_HARDWARE);",
        "claim_ipv4(b, SP_F_ARP_SPA);\n        load_stage(b, SP_STAGE_ARP);\n        sp_emit_goto(e, SP_T_FORWARD);"),
       near=["system/test_spoof.py"])
mutant("arp-hardware-unchecked", "an ARP packet may name another's hardware address",
       (STATIC, "claim_ipv4(b, SP_F_ARP_SPA);\n        load_stage(b, SP_STAGE_ARP);\n        sp_emit_goto(e, SP_T_HARDWARE);",
        "claim_ipv4(b, SP_F_ARP_SPA);\n        load_stage(b, SP_STAGE_ARP);\n        sp_emit_goto(e, SP_T_ADDRESS);"),
       near=["system/test_spoof.py"])
mutant("advertised-target-unchecked", "a neighbour advertisement may be about another's address",
       (STATIC, "claim_ipv6(b, SP_F_ND_TARGET);\n    load_stage(b, SP_STAGE_ND);\n    sp_flow_resubmit(b, SP_T_ADDRESS);",
        "claim_ipv6(b, SP_F_ND_TARGET);\n    load_stage(b, SP_STAGE_ND);\n    sp_flow_resubmit(b, SP_T_FORWARD);"),
       near=["system/test_spoof.py"])
mutant("source-mac-unchecked", "a server may use any MAC address",
       (PORT, "if (mac) {\n            sp_flow_match_bytes(b, SP_F_ETH_SRC, mac, NULL);\n        }", "if (mac) {\n        }"),
       near=["unit/compile", "system/test_spoof.py"])
mutant("broadcast-as-source", "an allowed pair of everything lets a server send from 255.255.255.255",
       (STATIC, "{.family = 4, .prefix = 3, .bytes = {224}}", "{.family = 4, .prefix = 4, .bytes = {224}}"),
       near=["system/test_spoof.py"])
mutant("link-local-refused", "a server cannot use the link-local address of its MAC",
       (STATIC, "sp_flow_load(b, SP_R_HARDWARE_HIGH, 9, 1, !inverted);", "sp_flow_load(b, SP_R_HARDWARE_HIGH, 9, 1, inverted);"),
       near=["system/test_spoof.py"])
mutant("link-local-of-a-pair", "a server may use the link-local address of a pair's MAC",
       (STATIC, "        sp_flow_match_uint(b, SP_R_IDENTITY, 0, 0xffff);\n", ""), near=["system/test_spoof.py"])
mutant("any-mac-of-the-port-in-arp", "what lets fragments come from a pair's MAC lets ARP name it in a frame of another's",
       (PORT, "    sp_flow_match_uint(b, SP_R_STAGE, stage, stage);\n", ""), near=["system/test_spoof.py"])
mutant("announcements-hidden", "an ARP announcement is heard by its own port alone",
       (STATIC, "sp_emit_begin(e, SP_T_REQUEST, 1), SP_T_FLOOD);", "sp_emit_begin(e, SP_T_REQUEST, 1), SP_T_TARGET);"),
       near=["system/test_spoof.py"])
mutant("requests-for-all", "an ARP request whose addresses differ in one bit only is flooded",
       (STATIC, "for (unsigned i = 0; i < 64; i++) {\n        uint32_t bit", "for (unsigned i = 0; i < 62; i++) {\n        uint32_t bit"),
       near=["system/test_forward.py"])
mutant("strangers-among-the-fragments", "fragments that conntrack hands to another port's packets pass as that port's",
       (PORT, "    sp_flow_match_exact(b, SP_F_CT_ZONE, port->zone);\n", ""), near=["formal/test_formal.py"])
mutant("unknown-unicast-floods", "a frame to an unknown address is copied to server ports",
       (STATIC, "sp_flow_resubmit(b, SP_T_LEARNED);\n        sp_emit_goto(e, SP_T_UPLINK);",
        "sp_flow_resubmit(b, SP_T_LEARNED);\n        sp_emit_goto(e, SP_T_FLOOD);"), near=["system/test_forward.py"])
mutant("numbers-look-the-same", "a port that is plugged in again at once is not told from what it was",
       (STATIC, "        bits.bytes[1 + i / 8] = (uint8_t) (1u << i % 8);", "        bits.bytes[1] = 1;"), near=["truth/test_megaflows.py"])
mutant("mac-known-in-every-vlan", "a server's MAC address leads to it from other VLANs too",
       (FORWARD, "    sp_flow_match_exact(b, SP_R_VLAN, vlan);\n    return b;", "    return b;"),
       near=["unit/compile", "system/test_forward.py"])

# Which marks stay.

mutant("every-mark-stays", "no connection is judged again when the rules change",
       (ADMISSION, "if (old->action != SP_ALLOW || !still_matches(change, old, new)) {\n        return false;\n    }\n",
        "if (old->action != SP_ALLOW || !still_matches(change, old, new)) {\n        return false;\n    }\n"
        "    if (!stands_later || stands_later) {\n        return true;\n    }\n"), near=["unit/admission"])
mutant("an-equal-deny-ends-nothing", "a new deny of the same priority leaves old connections alone",
       (ADMISSION, "deny->priority <= new->priority && (stands_later", "deny->priority < new->priority && (stands_later"),
       near=["unit/admission", "property/admission"])
mutant("a-narrowed-rule-keeps-its-mark", "connections outside a narrowed port range live on",
       (ADMISSION, "return sp_meaning_covers_but_for_remote(new, old) && sp_meaning_covers_remote(new, old) &&",
        "return sp_meaning_covers_remote(new, old) &&"), near=["unit/admission"])
mutant("a-leaving-member-keeps-its-connections", "an address that leaves a remote group is still admitted by its marks",
       (ADMISSION, "sp_meaning_covers_remote(new, old) && !(delta && delta->lost);", "sp_meaning_covers_remote(new, old) && (delta || !delta);"),
       near=["unit/admission"])
mutant("a-leaving-member-is-not-noticed", "a set whose remote group loses an address keeps all of its admissions",
       ("controller/model/derive.c", "(rule->meaning.action == SP_ALLOW ? delta->lost : delta->gained)", "delta->gained"),
       near=["unit/model_derive", "property/model"])

# The model.

mutant("a-host-covers-its-net", "10.0.0.1/32 is taken to contain 10.0.0.0/8",
       ("flows/value.c", "outer->family != inner->family || outer->prefix > inner->prefix", "outer->family != inner->family"),
       near=["unit/value"])
mutant("host-bits-stay", "192.168.1.100/24 is another network than 192.168.1.0/24",
       ("flows/value.c", "        mask_host_bits(cidr.bytes, cidr.prefix);\n", ""), near=["unit/value"])
mutant("two-new-ports-one-zone", "the ports of one request get the same conntrack zone",
       ("controller/model/draw.c",
        "if (has_bit(batch->drawn_zones, zone) || has_bit(here, zone)) {", "if (has_bit(here, zone)) {"),
       near=["unit/model_server"])
mutant("zone-used-again-at-once", "a zone that has become free is the next one given",
       ("controller/model/draw.c", "    batch->counters.next_zone = zone % ZONE_MAX + 1;\n", ""),
       near=["unit/model_server", "property/model"])
mutant("marks-start-anew", "after a restart the marks of dead rules are given to new ones",
       ("controller/store/write.c", "sp_statement_give_integer(s, counters->next_mark);", "sp_statement_give_integer(s, 1);"),
       near=["unit/sqlite"])
mutant("slots-start-anew", "after a restart the slots of rules are given to others",
       ("controller/store/write.c", "sp_statement_give_integer(s, counters->next_slot);", "sp_statement_give_integer(s, 1);"),
       near=["unit/sqlite"])
mutant("default-swap-forgets-some", "servers with one group keep it when another becomes the default",
       ("controller/model/batch_group.c", "if (servers[i]->n_groups != 1 || !sp_uuid_equal(&servers[i]->groups[0], id)) {",
        "if (servers[i]->n_groups != 1) {"), near=["unit/model_group", "api/test_groups.py"])
mutant("a-named-group-can-be-deleted", "a group that others' rules name can be deleted",
       ("controller/model/batch_group.c", "    if (holding.n) {\n", "    if (n_servers) {\n"),
       near=["unit/model_group", "api/test_groups.py"])
mutant("put-makes-all-rules-new", "replacing the rules by themselves ends all connections",
       ("controller/model/batch_rule.c", "known = sp_meanings_find(old, &inputs[i].meaning);", "known = old ? NULL : NULL;"),
       near=["unit/model_group", "api/test_rules.py"])
mutant("a-refused-change-leaves-traces", "what a request staged before it was refused stays",
       ("controller/engine_writes.c", "            sp_batch_rollback(engine->batch, mark);\n", "            (void) mark;\n"),
       near=["unit/engine"])
mutant("explain-lets-the-first-equal-win", "explain says allow where an equal deny decides",
       ("flows/explain.c", "(a->priority == b->priority && a->action == SP_DENY && b->action == SP_ALLOW)", "false"),
       near=["unit/explain"])

# Durable, then applied, then answered.

mutant("acknowledged-before-the-commit", "a change is answered when the store has got it, not when it has kept it",
       ("controller/engine_writes.c", "sp_batch_counters(engine->batch), &journal, on_committed, engine);\n",
        "sp_batch_counters(engine->batch), &journal, on_committed, engine);\n        await(engine);\n"),
       near=["unit/engine", "api/test_durability.py"])
mutant("a-failed-commit-is-published", "a change that the store could not write is in force",
       ("controller/engine_writes.c", "    struct sp_batch *batch = engine->batch;\n    if (error) {",
        "    struct sp_batch *batch = engine->batch;\n    if (error == 1) {"), near=["unit/engine", "api/test_durability.py"])
mutant("answered-before-the-barrier", "a change is applied as soon as it is sent",
       ("controller/switch_batch.c", "            sw->phase = SP_SWITCH_APPLYING;\n",
        "            sw->phase = SP_SWITCH_APPLYING;\n            sw->settled = batch->revision;\n"),
       near=["unit/engine", "unit/switch"])
mutant("nobody-is-waited-for", "an answer does not wait for any switch",
       ("controller/engine_writes.c", "        if (confirmation == SP_CONFIRMATION_PENDING) {\n            return false;",
        "        if (confirmation == SP_CONFIRMATION_PENDING) {\n            return true;"), near=["unit/engine"])
mutant("lost-before-it-is-durable", "a bridge that goes while the store writes counts as if it had confirmed the change",
       ("controller/engine_links.c", "    sp_engine_touch_lost(engine, dp);\n", ""), near=["unit/engine"])
mutant("any-barrier-will-do", "a barrier reply to another request counts",
       ("flows/openflow/session_batch.c", "if (!s->batch.barrier_xid || ntohl(oh->xid) != s->batch.barrier_xid) {",
        "if (!s->batch.barrier_xid) {"), near=["unit/session_batch"])
mutant("committed-with-errors", "a bundle is committed although the switch refused a part of it",
       ("flows/openflow/session_batch.c", "    } else if (s->batch.error[0] || s->batch.is_withdrawn) {\n",
        "    } else if (s->batch.control_refused || s->batch.is_withdrawn) {\n"),
       near=["unit/session_batch", "unit/session"])
mutant("word-to-a-link-that-is-gone", "the word on a bundle that is held comes after its connection has broken, and ends the daemon",
       ("controller/switch_link.c", "    if (!link->closing) {\n        arm(link);\n        sp_stream_wake(link->stream);",
        "    {\n        arm(link);\n        sp_stream_wake(link->stream);"), near=["unit/switch_link"])
mutant("in-force-before-it-is-durable", "what is sent ahead is committed at once",
       ("controller/switch_ahead.c", "    sp_link_prepare(sw->link, batch->mods.mods, batch->mods.n);\n",
        "    sp_link_apply(sw->link, batch->mods.mods, batch->mods.n, NULL, 0);\n"), near=["unit/switch_ahead"])
mutant("ahead-of-a-failed-commit", "what was sent ahead stays with the switch when the store has failed",
       ("controller/engine_ahead.c", "        sp_switch_withdraw(((struct sp_datapath *) node->owner)->sw);\n",
        "        (void) node;\n"), near=["unit/switch_ahead"])
mutant("ahead-of-something-else", "what was sent ahead is committed although something else is wanted",
       ("controller/switch_ahead.c", "    if (!is_wanted(sw)) {\n", "    if (!is_wanted(sw) && batch->n > 1) {\n"),
       near=["unit/switch_ahead"])
mutant("refused-ahead-is-told", "what a switch refuses ahead counts before it is wanted",
       ("controller/switch_batch.c", "    if (batch->is_ahead) {\n", "    if (batch->is_ahead && sw->phase != SP_SWITCH_AHEAD) {\n"),
       near=["unit/switch_ahead"])
mutant("held-for-ever", "a bundle that nobody says a word about is held",
       ("flows/openflow/session.c", "        sp_batch_let_go(s);\n", "        s->batch.held_ms = now_ms;\n"),
       near=["unit/session_batch"])
mutant("a-refusal-answered-as-applied", "what the switch refused is answered as applied",
       ("controller/switch.c",
        "return refused ? SP_NOT_CONFIRMED : SP_CONFIRMED;", "return refused ? SP_CONFIRMED : SP_CONFIRMED;"),
       near=["unit/switch", "unit/engine"])
mutant("active-before-it-is", "a port is shown as active while its flows are still on their way",
       ("controller/switch.c", "return knowing && (!unit || unit->state == SP_UNIT_CLEAN);", "return knowing || unit;"),
       near=["unit/switch", "unit/engine"])

# The switch.

mutant("delete-then-add", "a change deletes what it then forgets to add again",
       ("controller/switch_batch.c",
        "        claim(&batch->items[i], going);\n", "        (void) claim;\n"),
       near=["unit/switch", "unit/engine"])
mutant("an-empty-database-wipes-the-flows", "a bridge that nobody adopted loses its flows when it connects",
       ("controller/engine_links.c", "} else if (dp->releasing) {", "} else {"), near=["unit/engine"])
mutant("wiped-before-ovsdb-has-told", "ports found by their interface lose their flows at a restart",
       ("controller/engine_links.c",
        "if (adopted && sp_engine_expects(engine)) {", "if (adopted && engine->stopping) {"),
       near=["unit/engine"])
mutant("a-restart-sends-all-again", "flows that are there are taken for others",
       ("controller/switch_dump.c", "bool equal = sp_flow_equal(there, flow);", "bool equal = there == flow;"),
       ("controller/switch_batch.c", "if (!there || !sp_flow_equal(there, flow)) {", "if (!there || there != flow) {"),
       near=["unit/switch", "unit/engine"])
mutant("changed-actions-are-no-drift", "a flow of ours whose actions another hand changed is left as it is",
       ("flows/flow.c", "(a == b || !memcmp(sp_flow_actions(a), sp_flow_actions(b), a->actions_size));",
        "(a == b || sp_flow_actions(a) != NULL);"),
       near=["unit/table", "unit/switch"])
mutant("added-flows-stay", "a flow that another hand added under our cookie is left",
       ("controller/switch_dump.c", "        error = error ? error : add_orphan(sw, strange->flows[i]);\n",
        "        error = error ? error : 0 * add_orphan(sw, strange->flows[i]);\n"
        "        sp_flow_list_clear(&sw->orphans);\n"),
       near=["unit/switch"])
mutant("told-as-before-is-as-it-shall-be", "what another hand does again, as soon as it is mended, is not found",
       ("controller/switch_dump.c", "return sw->is_mirrored && sp_known_is_same(sw->known) &&", "return sp_known_is_same(sw->known) &&"),
       near=["unit/switch"])
mutant("judged-before-all-is-wanted", "a bridge that has come back loses what has not been compiled yet",
       ("controller/switch.c", "if (!sw->is_given || (f->is_possible && sp_switch_is_foreseeing(sw))) {",
        "if (f->is_possible && sp_switch_is_foreseeing(sw)) {"),
       near=["unit/engine_work"])
mutant("foreseen-is-told", "what a bridge lost while it was away is taken to be there if it was foreseen",
       ("controller/switch.c", "if (!sp_known_is_same(sw->known) || sp_flow_table_count(sw->dump)) {",
        "if (sp_flow_table_count(sw->dump)) {"),
       near=["unit/engine_work"])
mutant("foreseen-for-what-was-wanted-before", "a unit that changes while a bridge is asked what it has is not sent",
       ("controller/switch.c", "    sp_switch_drop_foreseen(sw);\n    sw->n_desired", "    sw->n_desired"),
       near=["unit/engine_work"])
mutant("what-is-missing-is-not-missed", "a check passes over a bridge that tells fewer flows than before",
       ("flows/openflow/known.c", "known->is_same = known->is_same && known->n_seen == known->n;", "known->is_same = known->is_same || !known->n;"),
       near=["unit/known", "unit/switch"])
mutant("changed-actions-have-the-same-digest", "a flow of ours whose actions another hand changed is passed over",
       ("flows/openflow/known.c", "*ret_digest = take(known, digest, bytes + at, size - at);", "*ret_digest = digest;"),
       near=["unit/known", "property/known"])
mutant("unread-is-silent", "switches that had no time to be heard are taken for dead",
       ("flows/openflow/session.c", "    s->progress_ms = now_ms > s->progress_ms ? now_ms : s->progress_ms;\n    s->echo_ms = now",
        "    s->echo_ms = now"),
       near=["unit/session"])
mutant("foreign-cookies-are-ours", "flows of other controllers are taken for left-overs and deleted",
       ("flows/openflow/session_dump.c", ".cookie_mask = htobe64(SP_COOKIE_OWNER_MASK),", ".cookie_mask = 0,"),
       ("flows/openflow/session_dump.c", "(cookie & SP_COOKIE_OWNER_MASK) != SP_COOKIE_OWNER || ", ""),
       near=["unit/session", "system/test_session.py"])
mutant("unplugged-ports-keep-their-flows", "the next owner of a port number gets the flows of the last one",
       ("controller/engine_project.c",
        "    ofport->role = SP_ROLE_CLOSED;\n    mark_members(dp, binding);\n", "    ofport->role = SP_ROLE_CLOSED;\n"),
       near=["unit/engine", "property/engine"])
mutant("a-deleted-ports-connections-stay", "a deleted port's connections stay in conntrack until its zone has another owner",
       ("controller/engine_project.c", "    if (!stays) {\n", "    if (!stays && !now && dp->releasing) {\n"),
       near=["unit/switch"])
mutant("a-leaving-members-address-stays", "an address that leaves a remote group keeps its class in the switch",
       ("controller/engine_changes.c", "for (size_t g = 0; before && g < before->n_groups; g++) {",
        "for (size_t g = 0; before && g < before->n_groups && set; g++) {"), near=["unit/engine", "property/engine"])
mutant("releasing-leaves-the-flows", "deleting a bridge leaves our flows in it",
       ("controller/engine_units.c", "return dp->releasing ? 0 : sp_compile_static(out);", "return sp_compile_static(out);"),
       near=["unit/engine"])

# Whose connections are in a zone.

ZONES = "controller/switch_zones.c"
mutant("a-new-owner-needs-no-flush", "a zone goes to its next owner with what is in it",
       (ZONES, "    return sp_flow_mods_add(&batch->mods, SP_ZONE_FLUSH, flow, unit);\n",
        "    batch->n_flushes--;\n    return sp_flow_table_put(sw->owners, flow);\n"), near=["unit/switch_zones"])
mutant("flows-before-the-flush", "a zone is flushed behind its next owner's flows",
       (ZONES, "    take_zone(sw, flow);\n    batch->n_flushes++;\n    return sp_flow_mods_add(&batch->mods, SP_ZONE_FLUSH, flow, unit);\n",
        "    uint32_t zone = 0;\n    take_zone(sw, flow);\n    if (sp_flow_match_value(flow, SP_F_CT_ZONE, &zone)) {\n"
        "        sp_switch_flush_zone(sw, (uint16_t) zone);\n    }\n    return sp_flow_table_put(sw->owners, flow);\n"),
       near=["unit/switch_zones"])
mutant("a-refused-flush-is-no-matter", "a zone that could not be flushed is opened to its next owner",
       ("flows/openflow/session_batch.c", "        if (s->state == STATE_COMMIT || !s->batch.control_refused) {\n",
        "        if (s->batch.mods[index].verb != SP_ZONE_FLUSH && (s->state == STATE_COMMIT || !s->batch.control_refused)) {\n"),
       near=["unit/session_batch", "unit/switch_zones"])
mutant("flushed-while-the-last-owner-is-there", "a zone is flushed while the last owner's flow still lets packets into it",
       (ZONES, "*ret = !sp_flow_table_find(sw->installed, flow) && ", "*ret = "), near=["unit/switch_zones"])
mutant("owners-are-forgotten-at-a-restart", "every zone is flushed when the controller starts, and live connections with it",
       (ZONES, "== SP_COOKIE_OWNED ? sp_flow_table_put(sw->owners, flow) : 0;",
        "== SP_COOKIE_OWNED ? sp_flow_table_put(sw->dump, flow) : 0;"),
       near=["unit/switch_zones", "property/engine"])
mutant("whoever-has-the-flow-is-the-owner", "the flow of a zone's last owner is taken for the next one's",
       (ZONES, "    *ret = false;\n    return 0;\n", "    return sp_flow_table_put(sw->owners, flow);\n"), near=["unit/switch_zones"])
mutant("the-owner-is-told-by-its-mac", "a server that is made again with the same MAC address is taken for the one that was deleted",
       (PORT, "SP_OWNER_TAG(port->id.bytes)", "SP_OWNER_TAG(port->mac.bytes)"), near=["unit/switch_zones"])
mutant("owners-are-forgotten-with-the-connection", "a switch that has lost its flows loses the connections that the kernel kept, too",
       ("controller/switch.c", "    if (sw->link) {\n        /* What goes on", "    if (sw->owners) {\n        /* What goes on"),
       near=["unit/switch_zones"])

# What may open and close: flows that are never taken.

mutant("never-taken-flow-that-is-taken", "servers whose MAC address has the bit of their place cannot send",
       (STATIC, "        sp_flow_match_bytes(b, SP_F_ETH_SRC, &known_bit, &known_bit);\n        sp_flow_match_bytes(b, SP_F_ETH_DST, &bit, &bit);\n",
        "        sp_flow_match_bytes(b, SP_F_ETH_DST, &bit, &bit);\n"), near=["formal/test_formal.py"])

# What is reported.

mutant("reported-without-a-limit", "a flood of denied packets goes to the controller as it comes",
       (REPORTS, "        sp_flow_meter(b, SP_METER_FIRST + i);\n", ""), near=["unit/compile", "system/test_blocked.py"])
mutant("reported-and-let-through", "a denied packet that is reported is sent on",
       (REPORTS, "        sp_flow_controller(b, SP_REPORT_SIZE, SP_CONTROLLER_ID);\n        sp_emit_end(&e);\n",
        "        sp_flow_controller(b, SP_REPORT_SIZE, SP_CONTROLLER_ID);\n        sp_emit_goto(&e, SP_T_PASSED);\n"),
       near=["unit/compile", "system/test_blocked.py"])
mutant("every-region-is-reported", "denied packets of regions that did not ask for it are reported, too",
       (RULES, "set->reports ? SP_REGION_REPORTS : 0", "set->number ? SP_REGION_REPORTS : 0"), near=["unit/compile", "system/test_blocked.py"])
mutant("believed-of-any-port", "what a switch reports is laid to a port that has another zone",
       ("controller/engine_blocked.c", "binding && binding->port->zone == denied->zone ? binding : NULL", "binding"),
       near=["unit/engine_blocked"])
mutant("a-packet-of-a-revoked-connection-is-an-attempt", "packets of connections that are revoked are reported as attempts",
       (REPORTS, "SP_CT_VALID_VALUE | SP_CT_NEW, SP_CT_VALID_MASK | SP_CT_NEW);\n        sp_flow_match_uint(b, SP_R_REGION",
        "SP_CT_VALID_VALUE, SP_CT_VALID_MASK);\n        sp_flow_match_uint(b, SP_R_REGION"), near=["system/test_blocked.py"])

# How often rules hit.

mutant("a-count-is-inherited", "a rule whose flow takes another one's place goes on from its count",
       ("controller/switch_batch.c", "return there->cookie != flow->cookie && sp_flow_is_counted(",
        "return there->cookie == flow->cookie && sp_flow_is_counted("), near=["unit/switch", "api/test_hits.py", "system/test_counters.py"])
mutant("what-was-deleted-never-counted", "what a flow counted after the last dump and before it was deleted is lost",
       ("controller/switch.c", "        tell_count(sw, event, true);\n", ""), near=["unit/engine", "system/test_counters.py"])
mutant("counted-again-after-a-restart", "what flows had counted before a restart is counted once more",
       ("flows/tally.c", ".name = row->name, .told = row->told, .stored = row->told,", ".name = row->name, .stored = row->told,"),
       near=["unit/tally", "property/tally"])
mutant("only-the-first-packet-counts", "packets of admitted connections are not counted",
       ("flows/tally.c", "    case SP_T_GATE:\n    case SP_T_STAMP:\n", "    case SP_T_STAMP:\n"), near=["unit/tally", "system/test_counters.py"])
mutant("a-retired-slot-is-forgotten", "what a flow counted before its rule was compiled to another slot is lost",
       ("controller/counts.c", "    return retire(counts, admission->slot);\n", "    int error = retire(counts, admission->slot);\n    remove_slot(counts, admission->slot);\n    return error;\n"),
       near=["system/test_counters.py"])

# The history, and what takes back.

mutant("trials-end-at-a-restart", "a change that nobody confirmed stays if the controller was restarted meanwhile",
       ("controller/store/pages.c", ".trial = (enum sp_trial) sp_statement_integer(s, 9),", ".trial = SP_TRIAL_NONE,"), near=["api/test_confirm.py"])
mutant("silence-confirms", "a change whose time is over is confirmed instead of rolled back",
       ("controller/api/trials.c", "    if (rollback->verdict.trial == SP_TRIAL_STUCK) {\n        return 0;\n    }\n",
        "    if (rollback->verdict.trial != SP_TRIAL_NONE) {\n        return 0;\n    }\n"), near=["api/test_confirm.py"])
mutant("undone-but-for-new-rules", "undoing leaves the rules that the change has added",
       ("controller/api/restore.c", "    return found->before ? add_rule(restoring, rules, found->before) : 0;\n",
        "    if (!found->before) {\n        rules->list[rules->n++] = sp_rule_ref(rule);\n        return 0;\n    }\n"
        "    return add_rule(restoring, rules, found->before);\n"), near=["api/test_undo.py"])
mutant("undone-twice", "a change can be undone again after it has been",
       ("controller/api/undo.c", "    if (entry->undone_by) {\n", "    if (entry->undone_by && entry->settling) {\n"), near=["api/test_undo.py"])
mutant("a-dry-run-is-made", "?dry_run makes the change",
       ("controller/engine_writes.c", "        if (pending->error || pending->write.preview) {\n", "        if (pending->error) {\n"),
       near=["api/test_dry_run.py"])

mutant("what-has-stopped-is-cut", "a dry run counts connections that pass no more already",
       ("controller/api/cuts.c", "        if (place->heard[j].now.passage != SP_PASSAGE_STOPS) {\n",
        "        cuts->places[i].heard[j].now.passage = SP_PASSAGE_PASSES;\n        {\n"), near=["system/test_cuts.py"])
mutant("cuts-by-the-present-rules", "a dry run judges connections by the rules of the groups that the server has now",
       ("controller/api/cuts.c", "sp_judge_connection(&cuts->judge, target->after->set, it, &then);",
        "sp_judge_connection(&cuts->judge, target->before->set, it, &then);"), near=["system/test_cuts.py"])
mutant("not-known-is-none", "a dry run that could ask nobody says that no connection is cut",
       ("controller/api/cuts.c", "    if (cuts->n_cuts || !cuts->n_unknown) {\n", "    if (cuts->n_cuts || !cuts->failed) {\n"),
       near=["api/test_dry_run.py", "system/test_cuts.py"])
mutant("a-moved-port-keeps-its-connections", "a dry run says that a port which moves to another VLAN loses nothing",
       ("controller/api/cuts.c", "before->vlan == after->vlan && before->zone == after->zone;", "before->zone == after->zone;"),
       near=["api/test_dry_run.py", "system/test_cuts.py"])

# Documents.

mutant("prunes-unasked", "applying a document deletes what it does not name",
       ("controller/api/change_document.c", "prunes = prune && !strcmp(prune, \"true\");", "prunes = !prune || !strcmp(prune, \"true\");"),
       near=["api/test_document.py"])
mutant("prunes-the-default-group", "a document that does not name the default group cannot be applied with prune",
       ("controller/api/change_document.c", "             sp_model_count_servers(document->decode.model, document->call->region));\n",
        "             !sp_model_count_servers(document->decode.model, document->call->region));\n"), near=["api/test_document.py"])
mutant("documents-are-applied-but-for-the-mistakes", "what is wrong in a document is left out instead of refusing it",
       ("controller/api/change_document.c", "    return r ? r : sp_decode_result(&document->decode);\n", "    return r;\n"),
       near=["api/test_document.py"])

# The seal.

mutant("an-old-database-is-as-good", "a database from before the last answered change is taken for the newest",
       ("controller/store/sqlite.c", "if (s->is_sealed && s->sealed.revision > ret->revision) {", "if (s->is_sealed && s->sealed.revision > ret->revision + 1) {"),
       near=["unit/sqlite_damage", "fault/test_damage.py"])
mutant("an-edited-database-is-as-good", "a database that another hand edited is not noticed",
       ("controller/store/sqlite.c", "if (s->is_sealed && s->sealed.revision == ret->revision && s->sealed.checksum != s->checksum + sp_checksum_counters(ret)) {",
        "if (s->is_sealed && s->sealed.revision == ret->revision && s->sealed.checksum == ~s->checksum) {"),
       near=["unit/sqlite_damage", "fault/test_damage.py"])

# The API.

mutant("if-match-ignored", "a change of a group that has changed since is made",
       ("controller/api/write.c", "lists_etag(list, sp_call_etag(group, etag)) ? 0 : SP_E_STALE;",
        "lists_etag(list, sp_call_etag(group, etag)) ? 0 : 0;"), near=["api/test_groups.py", "api/test_http.py"])
mutant("any-token-will-do", "any well-formed token opens everything",
       ("controller/api/token.c", "bool same = sp_digest_equal(tokens->items[i].digest, digest);",
        "bool same = sp_digest_equal(tokens->items[i].digest, digest) || tokens->n;"),
       near=["unit/api_token"])

mutant("reading-is-enough", "a token that may read may change as well",
       ("controller/api/access.c", "if (sp_token_role(token) < route->role) {", "if (sp_token_role(token) + 2 < route->role) {"),
       near=["api/test_roles.py"])
mutant("open-to-the-world", "a listener on every address starts without tokens",
       ("controller/config.c", "if (sp_http_address_is_exposed(given[OPTION_HTTP].values[i])) {",
        "if (!*given[OPTION_HTTP].values[i] && sp_http_address_is_exposed(given[OPTION_HTTP].values[i])) {"),
       near=["unit/config"])
