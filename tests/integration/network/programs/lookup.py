"""Ask for an address as an ordinary resolver would: SERVER NAME [tcp]. Says the answer or "nothing"."""

import sys

import dns.exception
import dns.message
import dns.query

query = dns.message.make_query(sys.argv[2], "A")
try:
    if len(sys.argv) > 3:
        response = dns.query.tcp(query, sys.argv[1], timeout=2)
    else:
        response, _ = dns.query.udp_with_fallback(query, sys.argv[1], timeout=2)
    print(
        response.answer[0][0].address if response.answer else dns.rcode.to_text(response.rcode()), flush=True
    )
except (OSError, EOFError, dns.exception.DNSException):
    print("nothing", flush=True)
