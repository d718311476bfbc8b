"""What the policy says, as formulas: the contract's section 3 over terms of the solver, knowing nothing of flows.

Policy.read() takes the API's own answers: groups with rules, servers with ports.  The rest gives, for a Port and a packet of
symbolic.Packets, the condition under which the port may send it, or may be given it."""

import ipaddress
import socket

import z3

from symbolic import all_of, both, either, negate

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
WITH_PORTS = (TCP, UDP, SCTP)
PROMISED = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmpv6": ICMPV6}
ANY = -1
BITS = {4: 32, 6: 128}
# Nothing of these is anybody's address, though a prefix may cover it.
NOBODY = {4: ("0.0.0.0/8", "224.0.0.0/3"), 6: ("::/128", "ff00::/8")}
RS, RA, NS, NA, REDIRECT = 133, 134, 135, 136, 137


def protocol_number(name):
    if name == "any":
        return ANY
    if name in PROMISED:
        return PROMISED[name]
    return int(name) if str(name).isdigit() else socket.getprotobyname(name)


def mac_number(text):
    return int(text.replace(":", ""), 16)


class Rule:
    def __init__(self, body):
        self.outbound, self.allows = body["direction"] == "outbound", body["action"] == "allow"
        self.priority, self.protocol = body["priority"], protocol_number(body["protocol"])
        self.network = ipaddress.ip_network(body["remote_ip"]) if body["remote_ip"] else None
        self.remote_group = body["remote_group"]
        self.ports = None if body["port_min"] < 0 else (body["port_min"], body["port_max"])
        self.icmp_type, self.icmp_code = body["icmp_type"], body["icmp_code"]


class Port:
    def __init__(self, body, server):
        self.server, self.name, self.bridge = server, body["port"], body["bridge"]
        self.mac, self.vlan, self.secure = mac_number(body["mac"]), body["vlan"] or 0, body["port_security"]
        self.ips = [ipaddress.ip_network(ip) for ip in body["ips"]]
        self.pairs = [(ipaddress.ip_network(pair["ip"]), mac_number(pair["mac"])) for pair in body["allowed_address_pairs"]]

    @property
    def macs(self):
        return {self.mac} | {mac for _, mac in self.pairs}

    @property
    def link_local(self):
        """RFC 4291 appendix A."""
        octets = bytearray(self.mac.to_bytes(6, "big"))
        octets[0] ^= 2
        interface = octets[:3] + b"\xff\xfe" + octets[3:]
        return ipaddress.ip_network(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes(interface)))

    def networks(self, mac):
        """What may be used together with one of the port's MAC addresses."""
        own = self.ips + [self.link_local] if mac == self.mac else []
        return own + [network for network, with_mac in self.pairs if with_mac == mac]


class Policy:
    def __init__(self):
        self.rules = {}    # Group -> Rules.
        self.members = {}  # Group -> addresses of its members' ports, as networks.
        self.ports = []

    @staticmethod
    def read(groups, servers):
        policy = Policy()
        for group in groups:
            policy.rules[group["id"]] = [Rule(rule) for rule in group["rules"]]
            policy.members[group["id"]] = set()
        policy.groups = {server["id"]: server["security_groups"] for server in servers}
        for server in servers:
            for body in server["ports"]:
                port = Port(body, server["id"])
                policy.ports.append(port)
                for group in server["security_groups"]:
                    policy.members[group] |= set(port.ips)
        return policy

    def rules_of(self, port, outbound):
        return [rule for group in self.groups[port.server] for rule in self.rules[group] if rule.outbound == outbound]

    def verdict(self, port, outbound, c):
        """Whether the rules of a port allow a connection.  The lowest priority number that matches decides, deny wins among
        equals, no match is deny."""
        by_priority = {}
        for rule in self.rules_of(port, outbound):
            by_priority.setdefault(rule.priority, []).append(rule)
        allowed = False
        for _, rules in sorted(by_priority.items(), reverse=True):
            allow = either(self.matches(rule, c) for rule in rules if rule.allows)
            deny = either(self.matches(rule, c) for rule in rules if not rule.allows)
            allowed = both(negate(deny), either((allow, allowed)))
        return allowed

    def matches(self, rule, c):
        if rule.protocol == ICMP and c.family != 4 or rule.protocol == ICMPV6 and c.family != 6:
            return False
        condition = True if rule.protocol == ANY else c.has_protocol(rule.protocol)
        if rule.network is not None:
            condition = both(condition, c.in_network(c.remote, rule.network))
        if rule.remote_group is not None:
            members = sorted(self.members[rule.remote_group], key=str)
            condition = both(condition, either(c.in_network(c.remote, network) for network in members))
        if rule.ports is not None:
            condition = both(condition, c.between(c.port, *rule.ports))
        if rule.icmp_type >= 0:
            condition = both(condition, c.equals(c.icmp_type, rule.icmp_type))
        if rule.icmp_code >= 0:
            condition = both(condition, c.equals(c.icmp_code, rule.icmp_code))
        return condition


class Connection:
    """Who the other end is, and what the connection's first packet says of itself.  Each an int or a term."""

    def __init__(self, packets, family, remote, protocol, port, icmp_type, icmp_code):
        self.packets, self.family, self.remote, self.protocol = packets, family, remote, protocol
        self.port, self.icmp_type, self.icmp_code = port, icmp_type, icmp_code

    def has_protocol(self, number):
        if isinstance(self.protocol, int):
            return self.protocol == number
        if number in self.packets.excluded.get("ct_nw_proto", ()):
            return False
        return self.packets.equals(self.protocol, number)

    def in_network(self, ip, network):
        return in_network(self.packets, self.family, ip, network)

    def between(self, value, low, high):
        """A term's bits decide by themselves which comparisons are needed."""
        if value is None:
            return False
        if isinstance(value, int):
            return low <= value <= high
        top = (1 << value.size()) - 1
        if low == high:
            return self.equals(value, low)
        return both(True if low == 0 else z3.UGE(value, low), True if high >= top else z3.ULE(value, high))

    def equals(self, value, wanted):
        return False if value is None else self.packets.equals(value, wanted)


def in_network(packets, family, ip, network):
    """Whether an address (int or term) lies in a network."""
    if network.version != family:
        return False
    width, prefix = BITS[family], network.prefixlen
    wanted = int(network.network_address) >> width - prefix
    if prefix == 0:
        return True
    return packets.equals(packets.slice(ip, width - prefix, prefix), wanted)


class Names:
    """What the packet of a class says of itself, in the contract's words."""

    def __init__(self, packets, family):
        fields = packets.fields
        self.packets, self.family = packets, family
        self.eth_src, self.eth_dst = fields["dl_src"], fields["dl_dst"]
        if family:
            self.src, self.dst = (fields["nw_src"], fields["nw_dst"]) if family == 4 else (fields["ipv6_src"], fields["ipv6_dst"])
            self.protocol = fields["nw_proto"]

    def has(self, protocol):
        """A class has one of the protocols with ports or types, or none of them."""
        return isinstance(self.protocol, int) and self.protocol == protocol

    def is_dhcp(self, from_port, to_port):
        """The packet is whole and goes from one well-known port to another (IPv4, IPv6)."""
        fields = self.packets.fields
        if not self.family or not self.has(UDP) or fields["nw_frag"] != 0:
            return False
        at = 0 if self.family == 4 else 1
        return both(fields["tp_src"] == from_port[at], fields["tp_dst"] == to_port[at])

    from_dhcp_client = property(lambda self: self.is_dhcp((68, 546), (67, 547)))
    from_dhcp_server = property(lambda self: self.is_dhcp((67, 547), (68, 546)))

    def is_nd(self, *types):
        if self.family != 6 or not self.has(ICMPV6) or self.packets.fields["nw_frag"] != 0:
            return False
        return either(self.packets.fields["icmp_type"] == kind for kind in types)

    @property
    def nd_is_valid(self):
        """RFC 4861 sections 6.1 and 7.1, as far as a switch sees it."""
        return both(self.packets.fields["icmp_code"] == 0, self.packets.fields["nw_ttl"] == 255)


def is_own(port, names, ip, hardware=None, family=None):
    """'ip' is an address of the port for the source MAC of the packet; so is the hardware address that the packet names."""
    family = family or names.family
    found = []
    for mac in sorted(port.macs):
        never = either(in_network(names.packets, family, ip, ipaddress.ip_network(net)) for net in NOBODY[family])
        listed = [in_network(names.packets, family, ip, net) for net in port.networks(mac) if net.num_addresses == 1]
        covered = [in_network(names.packets, family, ip, net) for net in port.networks(mac) if net.num_addresses > 1]
        one = both(names.eth_src == mac, either(listed + [both(either(covered), negate(never))]))
        found.append(one if hardware is None else both(one, hardware == mac))
    return either(found)


def may_send(port, names, passes):
    """Whether 'port' may send the packet; 'passes' is what its rules and conntrack say of it."""
    if names.family is None:
        return _may_send_arp(port, names)
    if not names.family:
        return False
    fields = names.packets.fields
    if not port.secure:
        discovery = both(names.is_nd(RS, RA, NS, NA, REDIRECT), names.nd_is_valid if names.has(ICMPV6) else False)
        return either((discovery, names.from_dhcp_client, passes))
    own = is_own(port, names, names.src)
    mac_is_own = either(names.eth_src == mac for mac in sorted(port.macs))
    zero = names.src == 0
    always = []
    never = [names.from_dhcp_server]
    if names.family == 4:
        always.append(both(names.from_dhcp_client, either((own, both(zero, mac_is_own)))))
    else:
        always.append(both(names.from_dhcp_client, own))
        discovery = names.is_nd(RS, RA, NS, NA, REDIRECT)
        never.append(discovery)
        if discovery is not False:
            target, sll, tll = fields["nd_target"], fields["nd_sll"], fields["nd_tll"]
            valid = names.nd_is_valid
            always.append(both(names.is_nd(RS), both(valid, either((own, both(zero, mac_is_own))))))
            asks = either((both(own, either((sll == 0, sll == names.eth_src))),
                           all_of((zero, sll == 0, is_own(port, names, target)))))
            tells = both(both(own, is_own(port, names, target)), either((tll == 0, tll == names.eth_src)))
            always.append(both(both(names.is_nd(NS), both(valid, target != 0)), asks))
            always.append(both(both(names.is_nd(NA), both(valid, target != 0)), tells))
    return either((*always, both(both(own, passes), negate(either(never)))))


def _may_send_arp(port, names):
    """RFC 826; a probe (RFC 5227) has no sender address yet and asks for the one it wants."""
    if not port.secure:
        return True
    fields = names.packets.fields
    asks, answers = fields["arp_op"] == 1, fields["arp_op"] == 2
    own = is_own(port, names, fields["arp_spa"], fields["arp_sha"], 4)
    wants = is_own(port, names, fields["arp_tpa"], fields["arp_sha"], 4)
    return either((both(either((asks, answers)), own), both(both(asks, fields["arp_spa"] == 0), wants)))


def may_be_given(port, names, passes, from_uplink):
    """Whether 'port' may be given the packet."""
    if names.family is None:
        return True
    if not names.family:
        return False
    discovery = names.is_nd(RS, RA, NS, NA, REDIRECT)
    always = [names.from_dhcp_server]
    if not port.secure:  # It may be a router's or a DHCP server's.
        always.append(names.from_dhcp_client)
    if discovery is not False:
        heard = (NS, NA) + ((RA,) if from_uplink else ()) + (() if port.secure else (RS,))
        always.append(both(names.is_nd(*heard), names.nd_is_valid))
    return either((*always, both(passes, negate(discovery))))
