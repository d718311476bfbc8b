// Rules in words, and the rules that people want most.

export const PRESETS = [
  {name: "SSH", protocol: "tcp", ports: [22]},
  {name: "RDP", protocol: "tcp", ports: [3389]},
  {name: "Web", protocol: "tcp", ports: [80, 443]},
  {name: "BT Panel 8888/80/443", protocol: "tcp", ports: [8888, 80, 443]},
  {name: "Ping", protocol: "icmp"},
  {name: "Ping over IPv6", protocol: "icmpv6"},
  {name: "Everything", protocol: "any"},
];

export const PROTOCOLS = [["tcp", "TCP"], ["udp", "UDP"], ["sctp", "SCTP"], ["icmp", "ICMP"], ["icmpv6", "ICMPv6"], ["any", "Any"]];
export const TEMPLATES = [
  ["outbound", "Everything out, nothing in"], ["remote-login", "Remote login: SSH, RDP and ping in, everything out"],
  ["none", "No rules: nothing in, nothing out"]];

const SERVICES = {tcp: {21: "FTP", 22: "SSH", 25: "SMTP", 53: "DNS", 80: "HTTP", 443: "HTTPS", 3306: "MySQL", 3389: "RDP",
                        5432: "PostgreSQL", 6379: "Redis", 8888: "BT Panel"},
                  udp: {53: "DNS", 123: "NTP", 443: "QUIC", 51820: "WireGuard"}};

export const hasPorts = (protocol) => ["tcp", "udp", "sctp"].includes(String(protocol));
export const isIcmp = (protocol) => ["icmp", "icmpv6"].includes(String(protocol));

export function protocolName(protocol) {
  const known = PROTOCOLS.find(([value]) => value === protocol);
  return known ? known[1] : typeof protocol === "number" ? `Protocol ${protocol}` : String(protocol).toUpperCase();
}

// "22", "8000–8099", "all ports", "type 8", "" where there is nothing to say.
export function portsOf(rule) {
  if (hasPorts(rule.protocol)) {
    if (rule.port_min === -1) return "All ports";
    return rule.port_min === rule.port_max ? String(rule.port_min) : `${rule.port_min}–${rule.port_max}`;
  }
  if (!isIcmp(rule.protocol)) return "";
  if (rule.icmp_type === -1) return "All types";
  return `Type ${rule.icmp_type}${rule.icmp_code === -1 ? "" : `, code ${rule.icmp_code}`}`;
}

export function serviceOf(rule) {
  return rule.port_min === rule.port_max ? SERVICES[rule.protocol]?.[rule.port_min] ?? "" : "";
}

// The remote in words; groups by name where the name is known.
export function remoteOf(rule, groups) {
  if (rule.remote_group) return `group ${groups?.get(rule.remote_group)?.name ?? rule.remote_group}`;
  return rule.remote_ip ?? "anywhere";
}

// "Inbound TCP 22 from anywhere"
export function sentence(rule, groups) {
  const ports = portsOf(rule);
  return [rule.direction === "inbound" ? "Inbound" : "Outbound", protocolName(rule.protocol),
          ports && ports[0] === ports[0].toLowerCase() ? ports : ports.toLowerCase(),
          rule.direction === "inbound" ? "from" : "to", remoteOf(rule, groups)].filter(Boolean).join(" ");
}

// As they decide: the lowest number first, and among equals what denies.
export function inOrder(rules) {
  return [...rules].sort((a, b) => a.priority - b.priority || (a.action > b.action ? -1 : a.action < b.action ? 1 : 0));
}

const DAY_MS = 24 * 3600 * 1000, UNUSED_DAYS = 30;
const ago = (ms) => ms < 120e3 ? "just now" : ms < 2 * 3600e3 ? `${Math.floor(ms / 60e3)} minutes ago`
  : ms < 2 * DAY_MS ? `${Math.floor(ms / 3600e3)} hours ago` : `${Math.floor(ms / DAY_MS)} days ago`;

// How often and when a rule was last used, and whether nothing has needed it for long.
export function useOf(rule, now = Date.now()) {
  const quiet = now - Date.parse(rule.last_hit ?? rule.counting_since);
  const unused = quiet >= UNUSED_DAYS * DAY_MS;
  if (!rule.last_hit) return {hits: "", when: unused ? "" : "Not yet", unused: unused && `Never used in ${Math.floor(quiet / DAY_MS)} days`};
  return {hits: rule.hits < 100000 ? rule.hits.toLocaleString("en") : rule.hits.toLocaleString("en", {notation: "compact", maximumFractionDigits: 1}), when: ago(quiet), unused: unused && "Unused"};
}

// Which network an address is of, for pairing addresses of two servers; "" if it is no address.
export const familyOf = (ip) => ip.includes(":") ? "6" : /^\d+\.\d+\.\d+\.\d+$/.test(ip) ? "4" : "";
export const isLoopback = (ip) => ip === "::1" || ip.startsWith("127.");
