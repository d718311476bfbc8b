"""Who may claim to be what.  Rules allow all here, so that the addresses alone decide.

Each cell is a frame that a server port (or the outside) sends and the ends at which it may, and must, arrive."""

import struct
from ipaddress import ip_address as ip

import packets
import pytest
from packets import all_nodes, link_layer_option, nd, solicited_node

BROADCAST, NO_MAC = "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"
ANOTHERS_MAC, GROUP_MAC = "02:20:00:00:00:13", "01:00:5e:00:00:01"
UNSPECIFIED = ip("::")


@pytest.fixture(scope="module")
def open_rules(lab):
    """Everything allowed everywhere."""
    for group in lab.world.groups:
        group.rules = [{"direction": direction, "action": "allow", "protocol": "any"} for direction in ("inbound", "outbound")]
    for server in lab.world.servers:
        server.groups = [next(group for group in lab.world.groups if group.region == server.region)]
    for thing in lab.world.groups + lab.world.servers:
        lab.apply(thing)
    lab.await_datapath()
    lab.forget_connections()


def end(lab, name):
    return next(end for end in lab.world.ends if end.name == name)


def expect(lab, prober, sender, cells):
    """cells: [(name, make(number), names of the ends where it must arrive)].  Sends each and compares; returns what is wrong."""
    numbers = [prober.number() for _ in cells]
    prober.exchange([(sender, make(number)) for number, (_, make, _) in zip(numbers, cells)])
    wrong = []
    for number, (name, _, wanted) in zip(numbers, cells):
        came = sorted(end.name for end, _ in prober.arrivals.pop(number, []))
        if came != sorted(wanted):
            wrong.append(f"{sender}: {name}: arrived at {came}, should at {sorted(wanted)}")
    return wrong


def sources_of(version, me):
    """(name, address, whether s2 may claim it)."""
    if version == 4:
        return [("own", ip("10.20.0.2"), True), ("pair", ip("10.20.9.77"), True), ("another's", ip("10.20.0.1"), False),
                ("multicast", ip("224.0.0.5"), False), ("zero", ip("0.0.0.0"), False), ("broadcast", ip("255.255.255.255"), False),
                ("loopback", ip("127.0.0.1"), False), ("beside the pair", ip("10.20.10.0"), False)]
    return [("own", ip("fd20::2"), True), ("own, second", ip("fd20:0:0:1::2"), True), ("link-local", me.link_local, True),
            ("pair", ip("fd20:9::77"), True), ("another's", ip("fd20::1"), False), ("multicast", ip("ff02::5"), False),
            ("zero", UNSPECIFIED, False), ("another's link-local", ip("fe80::20:ff:fe00:13"), False), ("mapped", ip("::ffff:10.20.0.2"), False),
            ("compatible", ip("::10.20.0.2"), False)]


def test_ip_sources(lab, prober, open_rules):
    me, to = end(lab, "s2-A"), end(lab, "s1-A")
    cells = []
    for version in (4, 6):
        target = next(address for address in to.ips if address.version == version)
        for name, source, honest in sources_of(version, me):
            cells.append((f"IPv{version} {name}", lambda number, source=source, target=target:
                          packets.datagram(me.mac, to.mac, source, target, 4000, number), ["s1-A"] if honest else []))
        own = next(address for address in me.ips if address.version == version)
        for name, mac in (("another's", ANOTHERS_MAC), ("multicast", GROUP_MAC), ("zero", NO_MAC), ("broadcast", BROADCAST)):
            cells.append((f"IPv{version} from {name} MAC", lambda number, mac=mac, own=own, target=target:
                          packets.datagram(mac, to.mac, own, target, 4000, number), []))
    wrong = expect(lab, prober, me, cells)
    alias_end = end(lab, "s3-A")
    address, mac = alias_end.alias
    target = to.ips[0]
    wrong += expect(lab, prober, alias_end, [
        ("pair of both", lambda n: packets.datagram(mac, to.mac, address, target, 4000, n), ["s1-A"]),
        ("the pair's address from the own MAC", lambda n: packets.datagram(alias_end.mac, to.mac, address, target, 4000, n), []),
        ("the own address from the pair's MAC", lambda n: packets.datagram(mac, to.mac, alias_end.ips[0], target, 4000, n), [])])
    assert not wrong, "\n".join(wrong)


def test_arp(lab, prober, open_rules):
    me, to = end(lab, "s2-A"), end(lab, "s1-A")
    mine, pair, anothers, his = ip("10.20.0.2"), ip("10.20.9.77"), ip("10.20.0.3"), to.ips[0]
    everyone = ["s1-A", "s3-A", "outside"]

    def request(sender_mac=me.mac, sender_ip=mine, wanted=his, source=me.mac, target=BROADCAST):
        return lambda number: packets.arp(1, sender_mac, sender_ip, NO_MAC, wanted, number, source, target)

    def reply(sender_mac=me.mac, sender_ip=mine, source=me.mac, operation=2):
        return lambda number: packets.arp(operation, sender_mac, sender_ip, to.mac, his, number, source, to.mac)

    cells = [("request, own", request(), ["s1-A"]), ("request, pair", request(sender_ip=pair), ["s1-A"]),
             ("request to its MAC", request(target=to.mac), ["s1-A"]),
             ("request for an unknown address", request(wanted=ip("10.20.200.200")), everyone),
             ("request, another's IP", request(sender_ip=anothers), []), ("request, multicast", request(sender_ip=ip("224.0.0.1")), []),
             ("request, another's hardware address", request(sender_mac=ANOTHERS_MAC), []),
             ("request, zero hardware address", request(sender_mac=NO_MAC), []),
             ("request, another's source MAC", request(source=ANOTHERS_MAC), []),
             ("probe for the own address", request(sender_ip=ip("0.0.0.0"), wanted=mine), everyone),
             ("probe for another's", request(sender_ip=ip("0.0.0.0"), wanted=anothers), []),
             ("announcement, own", request(wanted=mine), everyone), ("announcement, pair", request(sender_ip=pair, wanted=pair), everyone),
             ("announcement, another's", request(sender_ip=anothers, wanted=anothers), []),
             ("reply, own", reply(), ["s1-A"]), ("reply, pair", reply(sender_ip=pair), ["s1-A"]),
             ("reply, another's IP", reply(sender_ip=anothers), []), ("reply, zero IP", reply(sender_ip=ip("0.0.0.0")), []),
             ("reply, broadcast IP", reply(sender_ip=ip("255.255.255.255")), []),
             ("reply, another's hardware address", reply(sender_mac=ANOTHERS_MAC), []),
             ("reply, multicast hardware address", reply(sender_mac=GROUP_MAC), []),
             ("reverse request in ARP", reply(operation=3), []), ("operation 0", reply(operation=0), []),
             ("RARP", lambda n: packets.ether(me.mac, BROADCAST, 0x8035, packets.arp(3, me.mac, mine, me.mac, mine, n)[14:]), [])]
    wrong = expect(lab, prober, me, cells)
    assert not wrong, "\n".join(wrong)


def neighbour_cells(me, to, own, pair, anothers, everyone):
    his = next(address for address in to.ips if address.version == 6)
    group, group_mac = solicited_node(his)

    def ask(source=own, wanted=his, option=link_layer_option(1, me.mac), ether_source=me.mac, to_ip=group, to_mac=group_mac, **more):
        return lambda number: nd(ether_source, to_mac, source, to_ip, 135, b"\0" * 4 + wanted.packed + option, number=number, **more)

    def tell(source=own, said=own, option=link_layer_option(2, me.mac), ether_source=me.mac, to_ip=his, to_mac=to.mac, **more):
        return lambda number: nd(ether_source, to_mac, source, to_ip, 136, b"\x20\0\0\0" + said.packed + option, number=number, **more)

    def detect(wanted, option=b""):
        to_ip, to_mac = solicited_node(wanted)
        return ask(UNSPECIFIED, wanted, option, to_ip=to_ip, to_mac=to_mac)

    every, every_mac = all_nodes()
    one = [to.name]
    return [("solicitation, own", ask(), one), ("solicitation, own, no option", ask(option=b""), one), ("solicitation, pair", ask(pair), one),
            ("solicitation, unicast", ask(to_ip=his, to_mac=to.mac), one), ("solicitation, link-local", ask(me.link_local), one),
            ("solicitation, another's source", ask(anothers), []), ("solicitation, another's option", ask(option=link_layer_option(1, ANOTHERS_MAC)), []),
            ("solicitation, zero option", ask(option=link_layer_option(1, NO_MAC)), None),
            ("solicitation, two options", ask(option=link_layer_option(1, me.mac) + link_layer_option(1, ANOTHERS_MAC)), []),
            ("solicitation, another's MAC", ask(ether_source=ANOTHERS_MAC), []), ("solicitation, hop limit 64", ask(hop_limit=64), []),
            ("solicitation, code 1", ask(code=1), []),
            ("detection, own", detect(own), everyone), ("detection, link-local", detect(me.link_local), everyone),
            ("detection, another's", detect(anothers), []), ("detection with an option", detect(own, link_layer_option(1, me.mac)), []),
            ("advertisement, own", tell(), one), ("advertisement, no option", tell(option=b""), one), ("advertisement, pair", tell(pair, pair), one),
            ("advertisement, own from link-local", tell(me.link_local), one), ("advertisement, link-local", tell(said=me.link_local), one),
            ("advertisement to all", tell(to_ip=every, to_mac=every_mac), everyone),
            ("advertisement of another's", tell(said=anothers), []), ("advertisement from another's", tell(anothers), []),
            ("advertisement of a multicast", tell(said=every), []), ("advertisement of zero", tell(said=UNSPECIFIED), []),
            ("advertisement, another's option", tell(option=link_layer_option(2, ANOTHERS_MAC)), []),
            ("advertisement, two options", tell(option=link_layer_option(2, me.mac) + link_layer_option(2, ANOTHERS_MAC)), []),
            ("advertisement, hop limit 64", tell(hop_limit=64), []), ("advertisement, another's MAC", tell(ether_source=ANOTHERS_MAC), [])]


def test_neighbour_discovery(lab, prober, open_rules):
    me, to = end(lab, "s2-A"), end(lab, "s1-A")
    everyone = ["s1-A", "s3-A", "outside"]
    cells = neighbour_cells(me, to, ip("fd20::2"), ip("fd20:9::77"), ip("fd20::3"), everyone)
    wrong = expect(lab, prober, me, [cell for cell in cells if cell[2] is not None])
    me, to = end(lab, "s8-C"), end(lab, "s9-C")
    cells = neighbour_cells(me, to, ip("fd40::8"), ip("fd40::8"), ip("fd40::9"), ["s9-C", "s10-C"])
    wrong += expect(lab, prober, me, [cell for cell in cells if cell[2] is not None])
    assert not wrong, "\n".join(wrong)


def test_routers_and_dhcp(lab, prober, open_rules):
    me = end(lab, "s2-A")
    every, every_mac = all_nodes()
    routers, agents = ip("ff02::2"), ip("ff02::1:2")
    advertisement = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    nobody, all_ones = ip("0.0.0.0"), ip("255.255.255.255")

    def ra(sender, source):
        return lambda n: nd(sender.mac, every_mac, source, every, 134, advertisement + link_layer_option(1, sender.mac), number=n)

    def rs(source, mac=me.mac):
        return lambda n: nd(mac, "33:33:00:00:00:02", source, routers, 133, b"\0" * 4, number=n)

    def dhcp(source, sport, dport, target=all_ones, to_mac=BROADCAST, sender=me.mac):
        return lambda n: packets.dhcp(sender, to_mac, source, target, sport, dport, n)

    outside = end(lab, "outside")
    redirect = b"\0" * 4 + me.link_local.packed + ip("fd20::1").packed
    reaches_router = {"outside"}
    cells = [("router advertisement", ra(me, me.link_local), []), ("router advertisement, own address", ra(me, ip("fd20::2")), []),
             ("redirect", lambda n: nd(me.mac, "02:20:00:00:00:11", me.link_local, ip("fd20::1"), 137, redirect, number=n), []),
             ("router solicitation, another's", rs(ip("fd20::1")), []), ("router solicitation, another's MAC", rs(me.link_local, ANOTHERS_MAC), []),
             ("DHCP server", dhcp(ip("10.20.0.2"), 67, 68), []), ("DHCP server by unicast", dhcp(ip("10.20.0.2"), 67, 68, ip("10.20.0.1"), "02:20:00:00:00:11"), []),
             ("DHCPv6 server", dhcp(me.link_local, 547, 546, ip("fd20::1"), "02:20:00:00:00:11"), []),
             ("DHCP client, another's", dhcp(ip("10.20.0.1"), 68, 67), []), ("DHCP client, zero but to another port", dhcp(nobody, 68, 66), []),
             ("DHCP client, another's MAC", dhcp(nobody, 68, 67, sender=ANOTHERS_MAC), []),
             ("DHCPv6 client, another's", dhcp(ip("fe80::20:ff:fe00:13"), 546, 547, agents, "33:33:00:01:00:02"), [])]
    wrong = expect(lab, prober, me, cells)
    # These must reach the uplink; who else hears them is their rules' affair.
    passing = [("router solicitation", rs(me.link_local)), ("router solicitation, unspecified", rs(UNSPECIFIED)), ("DHCP discover", dhcp(nobody, 68, 67)),
               ("DHCP renewal", dhcp(ip("10.20.0.2"), 68, 67, outside.ips[0], outside.mac)),
               ("DHCPv6 solicit", dhcp(me.link_local, 546, 547, agents, "33:33:00:01:00:02"))]
    numbers = [prober.number() for _ in passing]
    prober.exchange([(me, make(number)) for number, (_, make) in zip(numbers, passing)])
    for number, (name, _) in zip(numbers, passing):
        came = {end.name for end, _ in prober.arrivals.pop(number, [])}
        if not reaches_router <= came:
            wrong.append(f"{name}: arrived at {came}")
    wrong += expect(lab, prober, outside, [
        ("router advertisement from the uplink", ra(outside, outside.link_local), ["s1-A", "s2-A", "s3-A"]),
        ("DHCP offer", dhcp(outside.ips[0], 67, 68, ip("10.20.0.2"), me.mac, outside.mac), ["s2-A"]),
        ("DHCP offer by broadcast", dhcp(outside.ips[0], 67, 68, sender=outside.mac), ["s1-A", "s2-A", "s3-A"])])
    assert not wrong, "\n".join(wrong)


def test_server_without_a_group(lab, prober, open_rules):
    """It passes what always passes, and nothing else."""
    me, to, outside = end(lab, "s2-A"), end(lab, "s1-A"), end(lab, "outside")
    server = me.server
    before, server.groups = server.groups, []
    lab.apply(server)
    lab.await_datapath()
    try:
        offer = lambda n: packets.dhcp(outside.mac, me.mac, outside.ips[0], me.ips[0], 67, 68, n)  # noqa: E731
        lease = lambda n: packets.dhcp(me.mac, BROADCAST, ip("0.0.0.0"), ip("255.255.255.255"), 68, 67, n)  # noqa: E731
        request = lambda n: packets.arp(1, me.mac, me.ips[0], NO_MAC, to.ips[0], n)  # noqa: E731
        wrong = expect(lab, prober, me, [("datagram", lambda n: packets.datagram(me.mac, to.mac, me.ips[0], to.ips[0], 4001, n), []),
                                         ("ARP", request, ["s1-A"])])
        wrong += expect(lab, prober, to, [("datagram to it", lambda n: packets.datagram(to.mac, me.mac, to.ips[0], me.ips[0], 4001, n), []),
                                          ("ARP to it", lambda n: packets.arp(1, to.mac, to.ips[0], NO_MAC, me.ips[0], n), ["s2-A"])])
        wrong += expect(lab, prober, outside, [("DHCP offer", offer, ["s2-A"])])
        number = prober.number()
        prober.exchange([(me, lease(number))])
        if "outside" not in {end.name for end, _ in prober.arrivals.pop(number, [])}:
            wrong.append("DHCP discover does not leave")
        assert not wrong, "\n".join(wrong)
    finally:
        server.groups = before
        lab.apply(server)


def test_vlan_tags(lab, prober, open_rules):
    """A server sends untagged; one in a VLAN may tag its frames with that VLAN."""
    def tagged(me, to, *tags):
        def make(number):
            plain = packets.datagram(me.mac, to.mac, me.ips[0], to.ips[0], 4002, number)
            return plain[:12] + b"".join(struct.pack("!HH", kind, vid) for kind, vid in tags) + plain[12:]
        return make

    plain_me, plain_to = end(lab, "s4-B"), end(lab, "s6-B")
    me, to = end(lab, "s8-C"), end(lab, "s9-C")
    wrong = expect(lab, prober, plain_me, [
        ("untagged", tagged(plain_me, plain_to), ["s6-B"]), ("VLAN 100", tagged(plain_me, plain_to, (0x8100, 100)), []),
        ("VLAN 0", tagged(plain_me, plain_to, (0x8100, 0)), []), ("VLAN 0 twice", tagged(plain_me, plain_to, (0x8100, 0), (0x8100, 100)), []),
        ("QinQ", tagged(plain_me, plain_to, (0x88a8, 100)), []), ("QinQ in full", tagged(plain_me, plain_to, (0x88a8, 1), (0x8100, 100)), [])])
    wrong += expect(lab, prober, me, [
        ("in a VLAN, untagged", tagged(me, to), ["s9-C"]), ("in a VLAN, its own tag", tagged(me, to, (0x8100, 100)), ["s9-C"]),
        ("in a VLAN, another tag", tagged(me, to, (0x8100, 101)), []), ("in a VLAN, VLAN 0", tagged(me, to, (0x8100, 0)), []),
        ("in a VLAN, its tag twice", tagged(me, to, (0x8100, 100), (0x8100, 100)), []),
        ("in a VLAN, out of it by a second tag", tagged(me, to, (0x8100, 100), (0x8100, 7)), [])])
    assert not wrong, "\n".join(wrong)
