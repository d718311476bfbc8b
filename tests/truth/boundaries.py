"""Probes at every boundary that a policy has: between all ordered pairs of ends, in both families, for all protocols that the
rules of either end name, at the ports lo-1, lo, hi and hi+1 of each range, and at the addresses just inside and just outside
of each remote network, as far as an end may have them."""

import ipaddress

import policy
from policy import OTHER_PROTOCOLS, Probe
from verdict import ICMP, ICMPV6, NUMBERS, TCP, UDP, WITH_PORTS

QUERIES = {4: (ICMP, (8, 13, 15)), 6: (ICMPV6, (128,))}
BROADCAST = ipaddress.ip_address("255.255.255.255")
APART, APART_ICMP = 0x8000, 0x4000  # Make of a probe's source port one that no other probe of its time has.
N_OTHERS = 2  # Protocol numbers that no rule of either end names.


def number_of(rule):
    return NUMBERS.get(rule["protocol"], rule["protocol"])


def rules_of(*ends):
    return [rule for end in ends if end.server for group in end.server.groups for rule in group.rules]


def ports_of(rules, protocol):
    """lo-1, lo, hi and hi+1 of each range, and the ends of the number space."""
    found = {0, 1, 65535}
    for rule in rules:
        if number_of(rule) == protocol and rule.get("port_min", -1) >= 0:
            found.update((rule["port_min"] - 1, rule["port_min"], rule["port_max"], rule["port_max"] + 1))
    return {port for port in found if 0 <= port <= 65535}


def is_ordinary(ip):
    """Whether somebody may have the address, and no special handling is due to it."""
    return not (ip.is_multicast or ip.is_unspecified or ip.is_loopback or ip.is_link_local or ip == BROADCAST)


def edges_of(network):
    """The addresses just outside and just inside of a network."""
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = type(network.network_address)
    found = [kind(number) for number in {first - 1, first, last, last + 1} if 0 <= number < 1 << network.max_prefixlen]
    return [ip for ip in found if is_ordinary(ip)]


def _address_probes(rng, source, target, version, probe, taken):
    """A rule's network is looked at with the rule's own protocol and port.  The outside may have any address, and may be
    spoken to at any; a port without port security may send from any.  `taken`: addresses of the other ends."""
    found = []
    for end, direction, free in ((target, "inbound", source.server is None or not source.port_security),
                                 (source, "outbound", target.server is None)):
        for rule in rules_of(end) if free else ():
            network = rule.get("remote_ip")
            if network is None or network.version != version or rule["direction"] != direction:
                continue
            protocol = number_of(rule)
            if protocol == "any":
                protocol = rng.choice(WITH_PORTS)
            if protocol in (ICMP, ICMPV6):
                what = {"icmp_type": rng.choice(QUERIES[version][1]), "icmp_code": 0}
            else:
                what = {"dport": max(1, rule.get("port_min", -1)) if protocol in WITH_PORTS else 0}
            for ip in edges_of(network):
                found.append(probe(protocol, **what, **{"here" if direction == "inbound" else "there": ip}))
    # A source port apart: the address may be another end's, whose probes conntrack shall not take for these.
    found = [one._replace(sport=one.sport ^ APART) for one in found if one.source_ip != one.target_ip]
    return [one for one in found if one.protocol in (TCP, UDP, ICMP, ICMPV6) or not taken & {one.source_ip, one.target_ip}]


def _icmp_probes(rules, version, probe):
    """Each query, each query with a code, and what else a rule names."""
    protocol, queries = QUERIES[version]
    wanted = {(kind, code) for kind in queries for code in (0, 1)}
    for rule in rules:
        if number_of(rule) == protocol and rule.get("icmp_type", -1) >= 0:
            wanted.add((rule["icmp_type"], max(0, rule.get("icmp_code", -1))))
    found = [probe(protocol, icmp_type=kind, icmp_code=code) for kind, code in sorted(wanted)]
    # An identifier apart, or an echo reply would be the answer to a query of the other direction.
    return [one if one.icmp_type in queries else one._replace(sport=one.sport ^ APART_ICMP) for one in found]


def probes_between(rng, world, source, target, version, sport):
    sources, targets = source.sources(version), target.sources(version)
    rules = rules_of(source, target)

    def probe(protocol, dport=0, icmp_type=-1, icmp_code=-1, here=None, there=None):
        mac = None
        if here is None and source.alias and source.alias[0].version == version and rng.random() < 0.2:
            here, mac = source.alias
        here = here or (rng.choice(sources) if rng.random() < 0.3 else sources[0])
        there = there or (rng.choice(targets) if rng.random() < 0.3 else targets[0])
        return Probe(source, target, here, there, protocol, sport, dport, icmp_type, icmp_code, mac)

    found = []
    for protocol in WITH_PORTS:
        ports = ports_of(rules, protocol) | {rng.randint(1, 65535)}
        found += [probe(protocol, port) for port in sorted(ports - {sport})]
    found += _icmp_probes(rules, version, probe)
    named = {number_of(rule) for rule in rules} & set(OTHER_PROTOCOLS)
    others = sorted(named) + policy.choose(rng, sorted(set(OTHER_PROTOCOLS) - named), N_OTHERS)
    found += [probe(number) for number in others if version == 4 or number != 2]
    taken = {ip for end in world.ends if end not in (source, target) for ip in end.sources(version)}
    found += _address_probes(rng, source, target, version, probe, taken)
    return found


def boundary_probes(rng, world, sport):
    """All of them, each connection once.  `sport`: unused so far, so that conntrack knows none of them."""
    found = {}
    for source, target in world.pairs():
        for version in (4, 6):
            for probe in probes_between(rng, world, source, target, version, sport):
                key = (source, target, probe.source_ip, probe.target_ip, probe.protocol, probe.dport, probe.icmp_type,
                       probe.icmp_code)
                found.setdefault(key, probe)
    return list(found.values())
