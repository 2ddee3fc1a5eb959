# tries: Change its own network: addresses, routes, interfaces, ARP entries, the firewall, promiscuous mode.
# user: root
# gvisor: contained or denied: of its own namespace; the host checks where packets come from
# container: denied
. ./verdict.sh
try() { "$@" 2>/dev/null >/dev/null && done="$done [$*]"; }
link=$(ip -o link 2>/dev/null | awk -F': ' '$2 !~ /^lo/ {sub(/@.*/, "", $2); print $2; exit}')
try ip addr add 10.9.9.9/8 dev "$link"
try ip route add 169.254.169.254 dev "$link"
try ip link set "$link" promisc on
try ip link set "$link" address 02:00:00:00:00:01
try ip link add evil type dummy
try ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:02 dev "$link"
try iptables -F
try nft flush ruleset
try sysctl -w net.ipv4.ip_forward=1
[ -n "$done" ] && contained "in its own network:$done"
denied "none of nine changes"
