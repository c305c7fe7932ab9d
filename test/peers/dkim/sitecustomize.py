"""Python imports this at start. It makes dnspython ask the name server on
loopback whose port is in TEST_DNS_PORT; nothing else changes."""
import os

import dns.resolver

dns.resolver.default_resolver = dns.resolver.Resolver(configure=False)
dns.resolver.default_resolver.nameservers = ["127.0.0.1"]
dns.resolver.default_resolver.port = int(os.environ["TEST_DNS_PORT"])
