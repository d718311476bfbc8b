"""The formal check: a few policies proved, and flows broken by hand, each of which it must find."""

import os
import re

import bench
import flowtext
import pytest
from prove import Prover

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
BRIDGE = "br1"
# For flows that are broken: a counter-example needs no more.
TCP, UDP, ND, ERROR, ARP, OTHER = ("TCP, IPv4", "UDP, IPv4", "ICMP, IPv6", "ICMP error about a connection, IPv4", "ARP",
                                   "another Ethernet type")


def examples(prover):
    return "\n".join(str(example) for example in prover.counter_examples[:5])


@pytest.mark.parametrize("seed, bridge, edits, kinds", ((SEED, "br1", 0, None), (SEED + 1, "br3", 2, (TCP, UDP, ERROR))))
def test_flows_say_what_the_policy_says(lab, seed, bridge, edits, kinds):
    rng = bench.policy.new_random(seed)
    bench.policy.randomize(rng, lab.world)
    bench.wake(lab)
    lab.apply_all()
    prover = Prover(kinds)
    for edit in range(edits + 1):
        if edit:
            bench.wake(lab)
            lab.apply(bench.policy.mutate(rng, lab.world)[0])
        prover.prove(bench.told_policy(lab), bench.told_bridge(lab, bridge))
        assert not prover.counter_examples, f"seed {seed}:\n{examples(prover)}\n{bench.policy.describe(lab.world)}"
    assert prover.count > 300


# A small policy by hand, and its flows.

@pytest.fixture(scope="module")
def told(lab):
    """Policy and dump: s1 and s2 have TCP 80-90 without 85 and UDP 53 and 257-510 open to everybody, all of UDP to one network, and to
    it and another one ranges of TCP that touch; s3 pings alone; all may speak to the outside."""
    world = lab.world
    web, ping = world.groups[0], next(group for group in world.groups if group.region == "TY2")
    web.rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 90},
                 {"direction": "inbound", "protocol": "tcp", "port_min": 85, "port_max": 85, "action": "deny", "priority": 50},
                 {"direction": "inbound", "protocol": "udp", "port_min": 53},
                 {"direction": "inbound", "protocol": "udp", "port_min": 257, "port_max": 510},
                 {"direction": "inbound", "protocol": "udp", "remote_ip": "198.51.100.0/24"},
                 {"direction": "inbound", "protocol": "tcp", "port_min": 1025, "port_max": 2046, "remote_ip": "198.51.100.0/24"},
                 {"direction": "inbound", "protocol": "tcp", "port_min": 2047, "port_max": 3070, "remote_ip": "203.0.113.0/24"},
                 {"direction": "outbound", "protocol": "any"}]
    ping.rules = [{"direction": "inbound", "protocol": "icmpv6", "icmp_type": 128}, {"direction": "outbound", "protocol": "any"}]
    for server in world.servers:
        server.groups = [web if server.region == "SV2" else ping]
    bench.wake(lab)
    for thing in (web, ping, *world.servers):
        lab.apply(thing)
    return bench.told_policy(lab), bench.dump(lab, BRIDGE)


def prove(lab, told, text, *kinds):
    prover = Prover(kinds)
    prover.prove(told[0], bench.told_bridge(lab, BRIDGE, text))
    return prover


def test_nothing_is_found_where_nothing_is_broken(lab, told):
    prover = prove(lab, told, told[1], TCP, UDP, ND, ERROR, ARP, OTHER)
    assert not prover.counter_examples, examples(prover)


def without(pattern, n=None):
    """Takes out the flows that match, of which there must be 'n' or some."""
    def edit(text):
        lines = text.splitlines()
        left = [line for line in lines if not re.search(pattern, line)]
        assert len(left) < len(lines) if n is None else len(left) == len(lines) - n, pattern
        return "\n".join(left)

    return edit


def changed(pattern, new):
    def edit(text):
        after, n = re.subn(pattern, new, text)
        assert n and after != text, pattern
        return after

    return edit


def added(flow):
    return lambda text: text + "\n" + flow


BROKEN = {
    "a rule that denies is gone": ("F3", TCP, without(r"table=21,.*ct_tp_dst=85.*goto_table:26")),
    "a rule that allows is gone": ("F3", TCP, without(r"table=21,.*ct_tp_dst=(80|0x50)")),
    "a mask of ports is one bit wider": ("F3", TCP, changed(r"(table=21,.*ct_tp_dst=(?:0x50|80)/0x)fff8", r"\g<1>fff0")),
    "a block of ports that no rule names is one bit wider": (
        "F3", TCP, changed(r"(table=21,.*ct_tp_dst=0x)100/0xff00(.*goto_table:26)", r"\g<1>0/0xfe00\g<2>")),
    "a rule for all ports is gone where no rule names the port": ("F3", UDP, without(r"table=19,.*ct_nw_src=198.51.100.0/24")),
    "a rule for all ports is for everybody where no rule names the port": (
        "F3", UDP, changed(r"(table=19,.*)ct_nw_src=198.51.100.0/24,", r"\g<1>")),
    "a block of ports that leads to the rules for all is one bit wider": (
        "F3", UDP, changed(r"(table=21,.*ct_tp_dst=0x)300/0xff00(.*resubmit\(,19\))", r"\g<1>100/0xfd00\g<2>")),
    "a nest that takes nothing out": ("F3", UDP, without(r"table=21,.*ct_nw_proto=17,ct_tp_dst=511[ ,].*resubmit\(,19\)")),
    "a nest that takes nothing out where a rule for others names the port": ("F3", TCP, without(r"table=21,.*ct_tp_dst=2047[ ,].*goto_table:26")),
    "a nest that takes out for others, too": (
        "F3", TCP, changed(r"(table=21,.*)ct_nw_src=198.51.100.0/24,(.*ct_tp_dst=2047[ ,].*goto_table:26)", r"\g<1>\g<2>")),
    "what is not marked passes": ("F3", TCP, added("table=14, priority=200,ct_state=-inv+trk,ct_mark=0 actions=goto_table:27")),
    "invalid packets pass": (
        "F", TCP, changed(r"(table=10, priority=100,ct_state=)-inv\+trk( actions=goto_table:)13", r"\g<1>+trk\g<2>27")),
    "errors about any connection pass": ("F", ERROR, added("table=15, priority=500,ct_state=+rel+trk actions=goto_table:27")),
    "the filter of a port is skipped": ("F3", TCP, added("table=41, priority=150,tcp,tp_dst=23 actions=goto_table:60")),
    "an output past all filters": ("F2", TCP, added("table=30, priority=2000,tcp,tp_dst=23 actions=output:1")),
    "an output to a closed port": ("F2", TCP, added("table=30, priority=2000,tcp,tp_dst=23 actions=output:7")),
    "an output by the uplink with a tag": (
        "F2", UDP, added("table=37, priority=2000,reg8=0,udp,vlan_tci=0x0000/0x1000 "
                         "actions=push_vlan:0x8100,set_field:4196->vlan_tci,output:4")),
    "any source address": ("F1", TCP, added("table=3, priority=50 actions=goto_table:4")),
    "any ARP sender": ("F1", ARP, added("table=1, priority=500,arp,arp_op=2 actions=goto_table:30")),
    "router advertisements of servers": ("F1", ND, without(r"table=1,.*icmp_type=134 actions=drop")),
    "a tag that is not the port's": (
        "F1", TCP, changed(r"(in_port=1),vlan_tci=0x0000/0x1000(.*actions=)", r"\g<1>\g<2>pop_vlan,")),
    "another Ethernet type": ("F3", OTHER, added("table=41, priority=1 actions=goto_table:60")),
    "a stranger among the fragments": (
        "F6", UDP, changed(r"(table=14, priority=)190(,reg11=0x400/0x400 actions=)drop", r"\g<1>190\g<2>goto_table:27")),
    "a stranger of another zone": ("F6", UDP, changed(r"(table=6, priority=100,)ct_zone=[0-9]+,", r"\g<1>")),
    "a closed port": ("F4", OTHER, added("priority=1 actions=goto_table:30")),
    "two ports with one zone": ("F5", TCP, changed(r"set_field:0x3->reg6", "set_field:0x1->reg6")),
    "reserved group addresses": ("F2", TCP, without(r"dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0")),
    "a server that nobody reaches": ("F2", TCP, without(r"table=30, .*dl_dst=02:20:00:00:00:12 ")),
    "ARP that nobody hears": (
        "F2", ARP, changed(r"(table=38, .*arp.*arp_tpa=10.20.0.1 )actions=.*", r"\g<1>actions=drop")),
    "any link-local address that a MAC makes": (
        "F1", "TCP, IPv6", added("table=11, priority=5,reg11=0x1000/0x1000 actions=load:1->NXM_NX_REG11[11],goto_table:12")),
    "announcements that nobody hears": ("F2", ARP, changed(r"(table=34, priority=1 actions=).*", r"\g<1>drop")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_flow_is_found(lab, told, name):
    statement, kind, edit = BROKEN[name]
    prover = prove(lab, told, edit(told[1]), kind)
    assert any(example.what.startswith(statement) for example in prover.counter_examples), examples(prover)


def test_a_mark_that_outlives_its_rule_is_found(lab, told):
    """The rule for 80-90 goes; a gate that still takes its mark lets its connections live on."""
    policy, before = told
    web = lab.world.groups[0]
    rules, web.rules = web.rules, web.rules[1:]
    bench.wake(lab)
    lab.apply(web)
    now, after = bench.told_policy(lab), bench.dump(lab, BRIDGE)
    web.rules = rules
    lab.apply(web)
    gates = [line for line in set(before.splitlines()) - set(after.splitlines()) if "table=14," in line and "ct_mark" in line]
    assert gates
    for text, is_right in ((after, True), ("\n".join([after, *gates]), False)):
        prover = Prover([TCP])
        prover.prove(policy, bench.told_bridge(lab, BRIDGE, before))
        assert not prover.prove(now, bench.told_bridge(lab, BRIDGE, text)) == is_right, examples(prover)


def test_a_counter_example_is_a_packet(lab, told):
    """The refusal of port 85 is gone: the packet named is one that it refused."""
    prover = prove(lab, told, without(r"table=21,.*ct_tp_dst=85.*goto_table:26")(told[1]), TCP, ERROR)
    assert prover.counter_examples
    for example in prover.counter_examples:
        assert re.search(r"ct_tp_dst=85 ", example.packet), example


def test_a_flow_broken_on_the_switch_is_found(lab, told):
    """By another hand, under another cookie, so that the daemon leaves it."""
    lab.switch.ofctl("add-flow", BRIDGE,
                     "cookie=0x7,table=21,priority=40000,ip,ct_state=-inv+trk,ct_nw_proto=17,actions=goto_table:25")
    try:
        assert any(example.kind == UDP for example in prove(lab, told, None, TCP, UDP).counter_examples)
    finally:
        lab.switch.ofctl("del-flows", BRIDGE, "cookie=0x7/-1")
    assert not prove(lab, told, None, TCP, UDP).counter_examples


@pytest.mark.parametrize("line", ("table=0, priority=1,tun_id=0x5 actions=drop", "table=0, priority=1 actions=group:1",
                                  "table=0, priority=1 actions=ct(nat)", "table=0, priority=1 actions=resubmit(1,2)", "gibberish"))
def test_what_it_does_not_understand_it_refuses(line):
    with pytest.raises(flowtext.Unknown):
        flowtext.read(line)
