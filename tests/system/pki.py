"""A public key infrastructure as `ovs-pki` makes it: one CA for controllers, one for switches."""

import os
import subprocess


class Pki:
    def __init__(self, directory):
        self.directory = str(directory)
        self._ovs_pki("init")

    def _ovs_pki(self, *arguments):
        done = subprocess.run(["/usr/bin/ovs-pki", f"--dir={self.directory}/pki", f"--log={self.directory}/log", "--force", *arguments],
                              cwd=self.directory, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    def ca(self, kind):
        return f"{self.directory}/pki/{kind}ca/cacert.pem"

    def issue(self, name, kind):
        """Returns the paths of a new key and its certificate."""
        key, certificate = f"{self.directory}/{name}-privkey.pem", f"{self.directory}/{name}-cert.pem"
        if not os.path.exists(key):
            self._ovs_pki("-B", "2048", "req+sign", name, kind)
        return key, certificate

    def controller(self, name="controller"):
        """The options of a sallyportd that has a certificate of the controllers' CA and believes the switches'."""
        key, certificate = self.issue(name, "controller")
        return ["--private-key", key, "--certificate", certificate, "--ca-cert", self.ca("switch")]
