"""Who may claim to be what, cell by cell: each kind of claim, made with an address of one's own, of an allowed pair, of another's,
with a multicast one and with none (zero).

`cells(net)` is the table.  Each cell says who hears the frame when the sender's rules allow everything, whether it also passes
when the sender has no group at all, and why.  The contract's section 3.4 is the source of what is said here without another."""

import struct
from collections import namedtuple
from ipaddress import ip_address as ip

import packets
from packets import all_nodes, link_layer_option, nd, solicited_node

# make(number): the frame.  heard: names of the ends where it arrives.  always: also from a server without a group.
Cell = namedtuple("Cell", "row column make heard always why")
Addresses = namedtuple("Addresses", "own pair anothers multicast zero")
COLUMNS = ("own", "allowed pair", "another's", "multicast", "zero")

BROADCAST, NO_MAC = "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"
UNSPECIFIED, ALL_ONES = ip("::"), ip("255.255.255.255")
MULTICAST_MAC = "03:00:00:00:00:05"
ROUTERS, AGENTS, MLD_REPORTS = (ip("ff02::2"), "33:33:00:00:00:02"), (ip("ff02::1:2"), "33:33:00:01:00:02"), (ip("ff02::16"), "33:33:00:00:00:16")

OWN, PAIR = "the port's own", "a pair that was allowed"
NOT_ITS, NO_SENDER, NOBODY = "not the port's", "a group sends nothing", "nobody, who sends nothing"
NEVER = "never passes from a server, whoever it says it is"


class Net:
    """What the table speaks of: the sender `me`, a receiver `to` whose rules allow all, the names of all who hear a flood."""

    def __init__(self, me, to, other, everyone, outside):
        self.me, self.to, self.other, self.everyone, self.outside = me, to, other, everyone, outside
        self.pair_mac = me.pair_mac  # Of an allowed pair with a MAC of its own, and its addresses.
        self.pair_ip = {4: me.pair_ips[0], 6: me.pair_ips[1]}
        self.v4 = Addresses(me.ips[0], ip("10.50.9.77"), other.ips[0], ip("224.0.0.5"), ip("0.0.0.0"))
        self.v6 = Addresses(me.ips[1], ip("fd50:9::77"), other.ips[1], ip("ff02::5"), UNSPECIFIED)
        self.local = Addresses(me.link_local, ip("fe80::9"), other.link_local, ip("ff02::1"), UNSPECIFIED)
        self.macs = Addresses(me.mac, self.pair_mac, other.mac, MULTICAST_MAC, NO_MAC)

    def address_of(self, version, mac):
        """The address that belongs to a MAC of `me`."""
        return self.pair_ip[version] if mac == self.pair_mac else self.me.ips[0 if version == 4 else 1]


def row(name, addresses, make, heard, always, why=None, allowed=("own", "allowed pair")):
    """A row whose cells differ by the address alone: what is `allowed` is heard, the rest not.  make(address)(number)."""
    reasons = dict(zip(COLUMNS, (OWN, PAIR, NOT_ITS, NO_SENDER, NOBODY)), **(why or {}))
    return [Cell(name, column, make(address), heard if column in allowed else [], always and column in allowed, reasons[column])
            for column, address in zip(COLUMNS, addresses)]


def never(name, addresses, make):
    return row(name, addresses, make, [], False, dict.fromkeys(COLUMNS, NEVER), allowed=())


def ip_rows(net):
    me, to = net.me, net.to
    to_ip = {4: to.ips[0], 6: to.ips[1]}

    def datagram(version):
        return lambda address: lambda n: packets.datagram(me.mac, to.mac, address, to_ip[version], 4000, n)

    def from_mac(version):
        return lambda mac: lambda n: packets.datagram(mac, to.mac, net.address_of(version, mac), to_ip[version], 4000, n)

    local = lambda address: lambda n: packets.datagram(me.mac, to.mac, address, to.link_local, 4000, n)  # noqa: E731
    hears = [to.name]
    found = row("source MAC of IPv4", net.macs, from_mac(4), hears, False) + row("source MAC of IPv6", net.macs, from_mac(6), hears, False)
    found += row("IPv4 source", net.v4, datagram(4), hears, False) + row("IPv6 source", net.v6, datagram(6), hears, False)
    found += row("link-local source", net.local, local, hears, False)
    crossed = [Cell("source MAC of IPv4", "pair's, own address", lambda n: packets.datagram(net.pair_mac, to.mac, me.ips[0], to_ip[4], 4000, n),
                    [], False, "an allowed pair is an address and a MAC together"),
               Cell("IPv4 source", "pair's of another MAC", lambda n: packets.datagram(me.mac, to.mac, net.pair_ip[4], to_ip[4], 4000, n),
                    [], False, "an allowed pair is an address and a MAC together"),
               Cell("IPv6 source", "IPv4-mapped own", lambda n: packets.datagram(me.mac, to.mac, ip("::ffff:10.50.0.1"), to_ip[6], 4000, n),
                    [], False, NOT_ITS),
               Cell("IPv6 source", "ends as the IPv4 address", lambda n: packets.datagram(me.mac, to.mac, ip("::10.50.0.1"), to_ip[6], 4000, n),
                    [], False, NOT_ITS),
               Cell("IPv4 source", "broadcast", lambda n: packets.datagram(me.mac, to.mac, ALL_ONES, to_ip[4], 4000, n), [], False, NO_SENDER)]
    return found + crossed


def arp_rows(net):
    me, to = net.me, net.to
    v4, his = net.v4, to.ips[0]

    def frame(operation, sender_mac, sender_ip, wanted, ether_source=None, target=BROADCAST):
        return lambda n: packets.arp(operation, sender_mac, sender_ip, NO_MAC if operation == 1 else to.mac, wanted, n,
                                     ether_source or sender_mac, target)

    def sender(operation, target):
        return lambda address: frame(operation, me.mac, address, his, target=target)

    def hardware(operation, target):
        """The hardware address inside, in a frame of `me` (or of the pair's MAC, if that is what it says)."""
        return lambda mac: frame(operation, mac, net.address_of(4, mac), his, net.pair_mac if mac == net.pair_mac else me.mac, target)

    def ether(operation, target):
        return lambda mac: frame(operation, net.pair_mac if mac == net.pair_mac else me.mac, net.address_of(4, mac), his, mac, target)

    def announced(operation):
        return lambda address: frame(operation, me.mac, address, address)

    hears = [to.name]
    found = row("ARP request's sender address", v4, sender(1, BROADCAST), hears, True,
                {"zero": "a probe (RFC 5227) for an address that is another's"})
    found += row("ARP reply's sender address", v4, sender(2, to.mac), hears, True)
    for operation, kind, target in ((1, "request", BROADCAST), (2, "reply", to.mac)):
        found += row(f"ARP {kind}'s sender hardware address", net.macs, hardware(operation, target), hears, True)
        found += row(f"source MAC of an ARP {kind}", net.macs, ether(operation, target), hears, True)
        found += row(f"gratuitous ARP {kind}", v4, announced(operation), net.everyone, True)
    found += row("ARP probe", v4, lambda wanted: frame(1, me.mac, v4.zero, wanted), net.everyone, True)
    for operation in (0, 3, 4, 8, 9):
        found += never(f"ARP operation {operation}", v4, lambda address, op=operation: frame(op, me.mac, address, his))
    for operation in (3, 4):
        found += never(f"RARP operation {operation}", v4, lambda address, op=operation: lambda n: packets.ether(
            me.mac, BROADCAST, 0x8035, frame(op, me.mac, address, address)(n)[14:]))
    found.append(Cell("ARP request's sender hardware address", "pair's in a frame of the own MAC",
                      frame(1, net.pair_mac, net.pair_ip[4], his, me.mac), [], False, "an allowed pair is an address and a MAC together"))
    return found


def nd_rows(net):
    me, to = net.me, net.to
    v6, his = net.v6, to.ips[1]
    group = solicited_node(his)
    every = all_nodes()

    def ask(source=v6.own, wanted=his, option=link_layer_option(1, me.mac), ether_source=me.mac, target=group, **more):
        return lambda n: nd(ether_source, target[1], source, target[0], 135, b"\0" * 4 + wanted.packed + option, number=n, **more)

    def tell(source=v6.own, said=v6.own, option=link_layer_option(2, me.mac), ether_source=me.mac, target=(his, to.mac), **more):
        return lambda n: nd(ether_source, target[1], source, target[0], 136, b"\x20\0\0\0" + said.packed + option, number=n, **more)

    def of_mac(make, kind, inside=None):
        """With the MAC as source, or as the option alone."""
        def cell(mac):
            frame_mac = net.pair_mac if mac == net.pair_mac else me.mac
            address = net.address_of(6, mac)
            more = {"said": address} if kind == 2 else {}
            if inside:
                return make(address, option=link_layer_option(kind, mac), ether_source=frame_mac, **more)
            return make(address, option=link_layer_option(kind, frame_mac), ether_source=mac, **more)
        return cell

    def detect(wanted, option=b""):
        return ask(UNSPECIFIED, wanted, option, target=solicited_node(wanted))

    hears, everyone = [to.name], net.everyone
    blind = {"zero": "a switch cannot tell it from no option; it names nobody, so the sender harms itself alone"}
    found = row("NS source", v6, ask, hears, True, {"zero": "with an option it is no duplicate address detection (RFC 4861 section 7.1.1)"})
    found += row("NS source, link-local", net.local, ask, hears, True)
    found += row("NS option", net.macs, of_mac(ask, 1, inside=True), hears, True, blind, allowed=("own", "allowed pair", "zero"))
    found += row("source MAC of NS", net.macs, of_mac(ask, 1), hears, True)
    found += row("duplicate address detection", v6, detect, everyone, True)
    found += row("duplicate address detection, link-local", net.local, detect, everyone, True)
    found += row("NA source", v6, tell, hears, True)
    found += row("NA target", v6, lambda said: tell(said=said), hears, True)
    found += row("NA target, link-local", net.local, lambda said: tell(said=said), hears, True)
    found += row("NA target to all", v6, lambda said: tell(said=said, target=every), everyone, True)
    found += row("NA option", net.macs, of_mac(tell, 2, inside=True), hears, True, blind, allowed=("own", "allowed pair", "zero"))
    found += row("source MAC of NA", net.macs, of_mac(tell, 2), hears, True)
    two = link_layer_option(1, me.mac) + link_layer_option(1, net.macs.anothers)
    odd = "no neighbour discovery that a host may accept (RFC 4861 section 7.1)"
    found += [Cell("NS option", "own, then another's", ask(option=two), [], False, NOT_ITS),
              Cell("NS option", "another's, then own", ask(option=two[8:] + two[:8]), [], False, NOT_ITS),
              Cell("NA option", "own, then another's", tell(option=b"\2" + two[1:8] + b"\2" + two[9:]), [], False, NOT_ITS),
              Cell("NS source", "own, hop limit 254", ask(hop_limit=254), [], False, odd), Cell("NS source", "own, code 1", ask(code=1), [], False, odd),
              Cell("NA source", "own, hop limit 254", tell(hop_limit=254), [], False, odd)]
    return found


def router_rows(net):
    me, to = net.me, net.to
    every = all_nodes()
    advertisement = struct.pack("!BBHII", 64, 0, 1800, 0, 0)

    def rs(source, ether_source=me.mac, **more):
        return lambda n: nd(ether_source, ROUTERS[1], source, ROUTERS[0], 133, b"\0" * 4, number=n, **more)

    def ra(source):
        return lambda n: nd(me.mac, every[1], source, every[0], 134, advertisement + link_layer_option(1, me.mac), number=n)

    def redirect(source):
        return lambda n: nd(me.mac, to.mac, source, to.ips[1], 137, b"\0" * 4 + me.link_local.packed + ip("2001:db8::1").packed, number=n)

    uplink = [net.outside]
    found = row("RS source", net.v6, rs, uplink, True, {"zero": "one without an address yet (RFC 4861 section 4.1)"}, ("own", "allowed pair", "zero"))
    found += row("RS source, link-local", net.local, rs, uplink, True, {"zero": "one without an address yet"}, ("own", "allowed pair", "zero"))
    found += row("source MAC of RS", net.macs, lambda mac: rs(net.address_of(6, mac), mac), uplink, True)
    found += never("RA source", net.v6, ra) + never("RA source, link-local", net.local, ra)
    found += never("redirect source", net.local, redirect)
    found.append(Cell("RS source", "own, hop limit 64", rs(net.v6.own, hop_limit=64), [], False, "it came from beyond a router"))
    return found


def multicast_rows(net):
    """MLD (RFC 2710, RFC 3810) is judged by rules as all IPv6 is."""
    me = net.me

    def message(kind):
        body = {143: struct.pack("!HHBBH", 0, 1, 4, 0, 0) + ip("ff02::1:ff00:1").packed}.get(kind, b"\0" * 4 + ip("ff02::1:ff00:1").packed)

        def make(source):
            def frame(n):
                icmp = packets.icmp(source, MLD_REPORTS[0], 58, kind, 0, b"", body)
                hop_by_hop = struct.pack("!BBHHBB", 58, 0, 0x0502, 0, 1, 0)  # A router alert.
                return packets.ether(me.mac, MLD_REPORTS[1], 0x86dd,
                                     packets.ipv6(source, MLD_REPORTS[0], 0, hop_by_hop + icmp, hop_limit=1)) + packets.marker(n)
            return frame
        return make

    found = []
    for kind, name in ((130, "query"), (131, "report"), (132, "done"), (143, "report, version 2")):
        found += never(f"MLD {name}", net.local, message(kind))
    blind = "conntrack of the userspace datapath takes MLD for invalid, and what is invalid drops (contract 3.2)"
    return [cell._replace(why=blind) if cell.column in ("own", "allowed pair") else cell._replace(why=NOT_ITS) for cell in found]


def dhcp_rows(net):
    me, to = net.me, net.to

    def client(source, mac=me.mac):
        return lambda n: packets.dhcp(mac, BROADCAST, source, ALL_ONES, 68, 67, n)

    def server(source, target=(ALL_ONES, BROADCAST)):
        return lambda n: packets.dhcp(me.mac, target[1], source, target[0], 67, 68, n)

    def client6(source, mac=me.mac):
        return lambda n: packets.dhcp(mac, AGENTS[1], source, AGENTS[0], 546, 547, n)

    def server6(source):
        return lambda n: packets.dhcp(me.mac, to.mac, source, to.ips[1], 547, 546, n)

    # To all: the uplink, and servers whose rules let it in.
    heard = [to.name, net.outside]
    found = row("DHCP client's source", net.v4, client, heard, True, {"zero": "one that asks for its first address (RFC 2131)"}, ("own", "allowed pair", "zero"))
    found += row("source MAC of a DHCP client", net.macs, lambda mac: client(ip("0.0.0.0"), mac), heard, True)
    found += never("DHCP server's source", net.v4, server)
    found += never("DHCP server's source, to one", net.v4, lambda source: server(source, (to.ips[0], to.mac)))
    found += row("DHCPv6 client's source", net.local, client6, heard, True)
    found += row("DHCPv6 client's source, global", net.v6, client6, heard, True)
    found += row("source MAC of a DHCPv6 client", net.macs, lambda mac: client6(net.address_of(6, mac), mac), heard, True)
    found += never("DHCPv6 server's source", net.v6, server6) + never("DHCPv6 server's source, link-local", net.local, server6)
    return found


def cells(net):
    return ip_rows(net) + arp_rows(net) + nd_rows(net) + router_rows(net) + multicast_rows(net) + dhcp_rows(net)
