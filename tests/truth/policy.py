"""The world of the truth tests, and random policies for it, made from a seed.

Three broadcast domains: A is bridge br1 with an uplink to the outside; B is br2 and br3 joined by patch ports; C is
VLAN 100 of br2 and br3, where one server has another's IP address and one has another's MAC, as tenants do.  Two regions
share the domains.  One server has two ports, one has no port security, some have allowed address pairs.
"""

import ipaddress
import random
from collections import namedtuple

from verdict import ICMP, ICMPV6, NUMBERS, TCP, UDP, WITH_PORTS

REGIONS = ("SV2", "TY2")
VLAN = 100
OTHER_PROTOCOLS = (2, 47, 50, 89, 112, 253)
GROUPS_PER_REGION = 5
# source_mac: None is the source's own; dport 0 and icmp_type -1 where the protocol has none.  sport is ICMP's identifier.
Probe = namedtuple("Probe", "source target source_ip target_ip protocol sport dport icmp_type icmp_code source_mac")


class Group:
    def __init__(self, name, region):
        self.name, self.region, self.rules, self.id = name, region, [], None

    def __repr__(self):
        return self.name


class Server:
    def __init__(self, name, region):
        self.name, self.region, self.ports, self.groups, self.id = name, region, [], [], None

    def __repr__(self):
        return self.name


class Port:
    """An end of the wire.  The outside has no server."""

    def __init__(self, name, server, domain, bridge, mac, ips, vlan=0, pairs=(), alias=None, port_security=True):
        self.name, self.server, self.domain, self.bridge, self.mac = name, server, domain, bridge, mac
        self.ips = [ipaddress.ip_address(ip) for ip in ips]
        self.vlan, self.pairs, self.port_security = vlan, [ipaddress.ip_network(pair) for pair in pairs], port_security
        # Another address behind another MAC, both allowed as a pair.
        self.alias = (ipaddress.ip_address(alias[0]), alias[1]) if alias else None
        if server is not None:
            server.ports.append(self)

    def __repr__(self):
        return self.name

    @property
    def link_local(self):
        octets = bytearray.fromhex(self.mac.replace(":", ""))
        octets[0] ^= 2
        return ipaddress.IPv6Address(bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0]) + octets[:3] + b"\xff\xfe" + octets[3:])

    def sources(self, version):
        """Addresses that the port may send from."""
        own = [ip for ip in self.ips if ip.version == version]
        pairs = [pair[pair.num_addresses // 2] for pair in self.pairs if pair.version == version]
        return own + pairs + ([self.link_local] if version == 6 else [])


class World:
    def __init__(self):
        self.servers, self.ports = [], []
        # name, region, domain, bridge, MAC's last octet, addresses, more
        self._add("s1", "SV2", "A", "br1", 0x11, ["10.20.0.1", "10.20.1.1", "fd20::1"])
        self._add("s2", "SV2", "A", "br1", 0x12, ["10.20.0.2", "fd20::2", "fd20:0:0:1::2"], pairs=["10.20.9.0/24", "fd20:9::/64"])
        self._add("s3", "TY2", "A", "br1", 0x13, ["10.20.0.3", "fd20::3"], alias=("10.20.0.33", "02:20:00:00:33:33"))
        self._add("s1", "SV2", "B", "br2", 0x21, ["10.30.0.1", "fd30::1"])
        self._add("s4", "SV2", "B", "br2", 0x24, ["10.30.0.4", "fd30::4"])
        self._add("s5", "SV2", "B", "br2", 0x25, ["10.30.0.5", "10.30.128.5", "fd30::5"], port_security=False)
        self._add("s6", "SV2", "B", "br3", 0x26, ["10.30.0.6", "fd30::6"], pairs=["10.30.77.7/32"])
        self._add("s7", "TY2", "B", "br3", 0x27, ["10.30.0.7", "fd30::7"], alias=("fd30::77", "02:20:00:00:77:77"))
        self._add("s8", "SV2", "C", "br2", 0x38, ["10.30.0.4", "fd40::8"], vlan=VLAN)  # The address of s4.
        self._add("s9", "SV2", "C", "br3", 0x26, ["10.40.0.9", "fd40::9"], vlan=VLAN)  # The MAC of s6.
        self._add("s10", "TY2", "C", "br3", 0x3a, ["10.40.0.10", "fd30::7"], vlan=VLAN)  # An address of s7.
        self.outside = Port("outside", None, "A", "br1", "02:20:00:00:00:ee", ["10.20.0.200", "198.51.100.7", "fd20::c8", "2001:db8::7"])
        self.ends = self.ports + [self.outside]
        self.groups = [Group(f"g{i}-{region}", region) for region in REGIONS for i in range(GROUPS_PER_REGION)]
        self.bridges = {"br1": 0xb1, "br2": 0xb2, "br3": 0xb3}

    def _add(self, name, region, domain, bridge, octet, ips, **more):
        server = next((server for server in self.servers if server.name == name), None)
        if server is None:
            server = Server(name, region)
            self.servers.append(server)
        self.ports.append(Port(f"{name}-{domain}", server, domain, bridge, f"02:20:00:00:00:{octet:02x}", ips, **more))

    def pairs(self, domain=None):
        """Ordered pairs of ends that are in one broadcast domain and not of one server."""
        return [(a, b) for a in self.ends for b in self.ends
                if a is not b and a.domain == b.domain and (domain is None or a.domain == domain)]


# Random policies.

def random_network(rng, world):
    ip = rng.choice(rng.choice(world.ends).ips + [ipaddress.ip_address("198.51.100.7")])
    widths = (0, 8, 15, 16, 17, 24, 29, 30, 31, 32, 32, 32) if ip.version == 4 else (0, 3, 16, 32, 64, 112, 125, 126, 127, 128, 128)
    return ipaddress.ip_network((ip, rng.choice(widths)), strict=False)


def random_ports(rng):
    kind = rng.random()
    if kind < 0.25:
        return -1, -1
    if kind < 0.45:
        port = rng.choice((22, 53, 80, 443, 3389, 8080, 65535, rng.randint(1, 65535)))
        return port, port
    if kind < 0.55:
        return rng.choice(((1, 65535), (0, 65535), (1, 65534), (0, 1023), (1024, 65535), (80, 8080)))
    low = rng.randint(1, 65535)
    return low, min(65535, low + rng.choice((1, 2, 7, 100, 1000, 20000)))


def random_rule(rng, world, region):
    rule = {"direction": rng.choice(("inbound", "outbound")), "action": "deny" if rng.random() < 0.3 else "allow",
            "priority": rng.choice((1, 50, 99, 100, 100, 100, 101, 500, 1000))}
    rule["protocol"] = rng.choices(("tcp", "udp", "sctp", "icmp", "icmpv6", "any", "other"), (24, 18, 10, 9, 9, 18, 8))[0]
    if rule["protocol"] == "other":
        rule["protocol"] = rng.choice(OTHER_PROTOCOLS)
    remote = rng.random()
    if remote < 0.4:
        network = random_network(rng, world)
        while (rule["protocol"], network.version) in (("icmp", 6), ("icmpv6", 4)):
            network = random_network(rng, world)
        rule["remote_ip"] = network
    elif remote < 0.7:
        rule["remote_group"] = rng.choice([group for group in world.groups if group.region == region])
    if NUMBERS.get(rule["protocol"]) in WITH_PORTS:
        rule["port_min"], rule["port_max"] = random_ports(rng)
    if rule["protocol"] in ("icmp", "icmpv6") and rng.random() < 0.6:
        rule["icmp_type"] = rng.choice((8, 8, 13, 15, 3, 0) if rule["protocol"] == "icmp" else (128, 128, 128, 129, 1))
        if rng.random() < 0.5:
            rule["icmp_code"] = rng.choice((0, 0, 0, 1))
    return rule


def random_rules(rng, world, region):
    rules = [random_rule(rng, world, region) for _ in range(rng.choice((1, 2, 3, 4, 6, 9)))]
    for direction in ("outbound", "inbound"):
        if rng.random() < 0.4:  # Else too little would pass to be worth a look.
            rules.append({"direction": direction, "action": "allow", "priority": rng.choice((100, 600)), "protocol": "any"})
    unique = []
    for rule in rules:  # The API answers a rule of the same meaning with the one that is there.
        if rule not in unique:
            unique.append(rule)
    rng.shuffle(unique)
    return unique


def random_groups(rng, world, server):
    mine = [group for group in world.groups if group.region == server.region]
    return rng.sample(mine, rng.choice((0, 1, 1, 2, 2, 3, 4)))


def randomize(rng, world):
    for group in world.groups:
        group.rules = random_rules(rng, world, group.region)
    for server in world.servers:
        server.groups = random_groups(rng, world, server)


def mutate(rng, world):
    """One random edit.  Returns what it touched, a Group or a Server, and a line that says what was done."""
    kind = rng.random()
    if kind < 0.3:
        server = rng.choice(world.servers)
        server.groups = random_groups(rng, world, server)
        return server, f"{server} gets groups {server.groups}"
    group = rng.choice(world.groups)
    if not group.rules or kind < 0.45:
        rule = random_rule(rng, world, group.region)
        if rule not in group.rules:
            group.rules = group.rules + [rule]
        return group, f"{group} gains {rule}"
    rule = rng.choice(group.rules)
    rest = [other for other in group.rules if other is not rule]
    if kind < 0.6:
        group.rules = rest
        return group, f"{group} loses {rule}"
    new = dict(rule)
    change = rng.random()
    if change < 0.3:
        new["action"] = "deny" if rule["action"] == "allow" else "allow"
    elif change < 0.5:
        new["priority"] = rng.choice((1, 100, 1000))
    elif change < 0.75 and new.get("port_min", -1) >= 0:
        new["port_max"] = rng.randint(new["port_min"], min(65535, new["port_max"] + 1))
    elif change < 0.9 and new.get("remote_ip") is not None and new["remote_ip"].prefixlen > 0:
        new["remote_ip"] = new["remote_ip"].supernet()
    else:
        new = random_rule(rng, world, group.region)
    if new not in rest:
        rest.insert(rng.randrange(len(rest) + 1), new)
    group.rules = rest
    return group, f"{group} has {new} for {rule}"


# Random probes.

def edges(rules, protocol):
    """The ports at which some rule of the protocol begins or ends to match, with their neighbours."""
    found = {1, 65535}
    for rule in rules:
        if NUMBERS.get(rule["protocol"]) == protocol and rule.get("port_min", -1) >= 0:
            found.update((rule["port_min"] - 1, rule["port_min"], rule["port_max"], rule["port_max"] + 1))
    return sorted(port for port in found if 1 <= port <= 65535)


def choose(rng, items, n):
    return items if len(items) <= n else rng.sample(items, n)


def probes_between(rng, source, target, version, sport, n_ports):
    """Probes from one end to another in one family.  `sport`: unused so far, so that conntrack knows none of them."""
    sources, targets = source.sources(version), target.sources(version)
    rules = [rule for end in (source, target) if end.server for group in end.server.groups for rule in group.rules]

    def probe(protocol, dport=0, icmp_type=-1, icmp_code=-1):
        here = rng.choice(sources) if rng.random() < 0.3 else sources[0]
        there = rng.choice(targets) if rng.random() < 0.3 else targets[0]
        mac = None
        if source.alias and source.alias[0].version == version and rng.random() < 0.2:
            here, mac = source.alias
        return Probe(source, target, here, there, protocol, sport, dport, icmp_type, icmp_code, mac)

    found = []
    for protocol in WITH_PORTS:
        ports = choose(rng, edges(rules, protocol), n_ports) + [rng.randint(1, 65535)]
        found += [probe(protocol, port) for port in sorted(set(ports)) if port != sport]
    if version == 4:
        found += [probe(ICMP, icmp_type=kind, icmp_code=0) for kind in (8, 13, 15)]
    else:
        found.append(probe(ICMPV6, icmp_type=128, icmp_code=0))
    found += [probe(number) for number in choose(rng, [p for p in OTHER_PROTOCOLS if version == 4 or p != 2], 2)]
    return found


def random_probes(rng, world, sport, n_ports=6, share=1.0):
    """Probes between all ordered pairs, in both families; `share` of the pairs."""
    found = []
    for source, target in world.pairs():
        for version in (4, 6):
            if rng.random() <= share:
                found += probes_between(rng, source, target, version, sport, n_ports)
    return found


def stray_probes(rng, world, sport):
    """Probes between ends of different domains: none may arrive at its target, whatever the rules."""
    found = []
    for source in world.ports:
        near = {end.mac for end in world.ends if end.domain == source.domain}
        target = rng.choice([end for end in world.ports if end.domain != source.domain and end.mac not in near])
        version = rng.choice((4, 6))
        found.append(Probe(source, target, source.sources(version)[0], target.sources(version)[0], rng.choice((TCP, UDP)), sport,
                           rng.choice((22, 80, 443)), -1, -1, None))
    return found


def describe(world):
    """A policy in words, for the report of a failure."""
    lines = []
    for server in world.servers:
        lines.append(f"server {server.name} ({server.region}) groups {server.groups} ports " +
                     ", ".join(f"{port.name}={'/'.join(str(ip) for ip in port.ips)}" for port in server.ports))
    for group in world.groups:
        for rule in group.rules:
            lines.append(f"group {group.name}: " + " ".join(f"{key}={value}" for key, value in rule.items()))
    return "\n".join(lines)


def new_random(seed):
    return random.Random(f"sallyport {seed}")
