#!/usr/bin/python3
"""Writes version_N.sql and version_N.json with the daemon of that schema, before the next one comes: write.py N PROGRAM."""

import json
import os
import sqlite3
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.dirname(os.path.dirname(os.path.dirname(HERE)))]

import daemon as sallyport  # noqa: E402


def made(answer):
    assert answer.status in (200, 201, 202, 204), answer
    return answer


def fill(api, version):
    """Something of every kind that the schema knows."""
    made(api.put("/v1/regions/SV2"))
    made(api.put("/v1/regions/TY2"))
    made(api.put("/v1/bridges/00000000000000b1", {"uplinks": ["eth1", "eth2"]}))
    vm1 = made(api.post("/v1/servers", {"region": "SV2", "name": "vm1", "ports": [
        {"bridge": "00000000000000b1", "port": "vm1-eth0", "mac": "02:00:00:00:00:01", "ips": ["10.0.0.1", "2001:db8::1"], "vlan": 7,
         "allowed_address_pairs": [{"ip": "10.0.9.0/24"}, {"ip": "10.0.8.1", "mac": "02:00:00:00:00:99"}]}]})).json
    lb = made(api.post("/v1/security-groups", {"region": "SV2", "name": "lb", "rules": []})).json
    web = made(api.post("/v1/security-groups", {"region": "SV2", "name": "web", "description": "Front ends, Größe é", "rules": [
        {"direction": "inbound", "protocol": "tcp", "port_min": 8000, "port_max": 8099, "remote_group": lb["id"], "description": "panel"},
        {"direction": "inbound", "protocol": "any", "action": "deny", "priority": 7, "remote_ip": "203.0.113.0/24"},
        {"direction": "inbound", "protocol": "icmpv6", "icmp_type": 128, "icmp_code": 0, "remote_ip": "2001:db8::/32"},
        {"direction": "outbound", "protocol": 47}]})).json
    made(api.post("/v1/servers", {"region": "SV2", "name": "vm2", "kind": "baremetal", "security_groups": [web["id"], lb["id"]], "ports": [
        {"iface_id": "tap2", "mac": "02:00:00:00:00:02", "ips": ["10.0.0.2"], "port_security": False}]}))
    made(api.put(f"/v1/servers/{vm1['id']}/security-groups", {"security_groups": [web["id"]]}))
    if version >= 2:
        gone = made(api.post("/v1/security-groups", {"region": "TY2", "name": "gone"})).json
        made(api.delete(f"/v1/security-groups/{gone['id']}"))
        made(api.post(f"/v1/changes/{api.get('/v1/changes?limit=1').json['changes'][0]['id']}/undo"))
    if version >= 3:
        kept = made(api.post("/v1/security-groups?confirm_within=3600", {"region": "TY2", "name": "kept"}))
        made(api.post(f"/v1/changes/{kept.headers['Sallyport-Change']}/confirm"))
        made(api.post("/v1/security-groups?confirm_within=1", {"region": "TY2", "name": "given up"}))
        deadline = time.monotonic() + 20
        while "given up" in api.get("/v1/security-groups?region=TY2").body.decode():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        made(api.post("/v1/security-groups?confirm_within=15", {"region": "TY2", "name": "on trial"}))
    if version >= 4:
        made(api.patch("/v1/regions/TY2", {"report_blocked": False}))


def main(version, program):
    sallyport.PROGRAM = program
    sallyport.description.daemon_answers.wrong = lambda *_: []  # It answers as one did then.
    with tempfile.TemporaryDirectory(prefix="sp-schema-", dir="/tmp") as directory:
        one = sallyport.Daemon(directory).start()
        api = one.client()
        fill(api, version)
        paths = ["/v1/regions", "/v1/security-groups", "/v1/servers", "/v1/bridges"] + (["/v1/changes"] if version >= 2 else [])
        told = {path: api.get(path).json for path in paths}
        assert one.stop() == 0
        database = sqlite3.connect(one.db.partition(":")[2])
        assert database.execute("PRAGMA user_version").fetchone() == (version,)
        identity = database.execute("PRAGMA application_id").fetchone()[0]
        with open(f"{HERE}/version_{version}.sql", "w", encoding="utf-8") as file:
            file.write(f"PRAGMA application_id = {identity};\nPRAGMA user_version = {version};\n")
            file.writelines(f"{line}\n" for line in database.iterdump())
        database.close()
    with open(f"{HERE}/version_{version}.json", "w", encoding="utf-8") as file:
        json.dump(told, file, indent=1, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
