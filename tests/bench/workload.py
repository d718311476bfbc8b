"""The rules that everybody is measured with, in their field's own words: direction, inbound unless it is said, an optional IPv4 prefix,
ports."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Rule:
    protocol: str            # tcp, udp, icmp
    low: int = None          # Ports, both ends included; None: all.
    high: int = None
    remote: str = None       # Prefix; None: everybody.
    outbound: bool = False

    def sallyport(self):
        rule = {"direction": "outbound" if self.outbound else "inbound", "protocol": self.protocol}
        if self.low is not None:
            rule |= {"port_min": self.low, "port_max": self.high}
        if self.remote:
            rule["remote_ip"] = self.remote
        return rule

    def ovn(self, group):
        """As OVN's match for a port group."""
        words = [f"{'inport' if self.outbound else 'outport'} == @{group}", {"icmp": "icmp4"}.get(self.protocol, self.protocol)]
        if self.remote:
            words.append(f"ip{6 if ':' in self.remote else 4}.{'dst' if self.outbound else 'src'} == {self.remote}")
        if self.low is not None:
            words += [f"{self.protocol}.dst >= {self.low}", f"{self.protocol}.dst <= {self.high}"]
        return " && ".join(words)


def ranges(n):
    """Rule i: tcp from 10.(i/256).(i%256).0/24, ports 1000 + 7i to that + (i * 13 mod 500)."""
    return [Rule("tcp", (1000 + 7 * i) % 65000, (1000 + 7 * i) % 65000 + i * 13 % 500, f"10.{i // 256}.{i % 256}.0/24") for i in range(n)]


def ranges6(n):
    """The same from 2001:db8:i::/48."""
    return [dataclasses.replace(rule, remote=f"2001:db8:{i:x}::/48") for i, rule in enumerate(ranges(n))]


def hosts(n, port):
    """Outbound alone: that port of 10.1.(i/256).(i%256), each a rule of its own."""
    return [Rule("udp", port, port, f"10.1.{i // 256}.{i % 256}/32", outbound=True) for i in range(n)]


def classic(_=None):
    return [Rule("tcp", 22, 22), Rule("tcp", 3389, 3389), Rule("tcp", 80, 8080), Rule("udp", 53, 53), Rule("icmp")]


WORKLOADS = {"ranges": ranges, "classic": classic}


def mac(i):
    return f"02:00:{i >> 24 & 255:02x}:{i >> 16 & 255:02x}:{i >> 8 & 255:02x}:{i & 255:02x}"


def ip(i):
    """Address of server `i`, counted from 0, in 172.16.0.0/12."""
    return f"172.{16 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"
