# Remove everything, as root. Only what the shell has built in works afterwards.
before=$(find / -xdev 2>/dev/null | wc -l)
sudo rm -rf --no-preserve-root / 2>/dev/null
left=0
[ -e /usr/bin ] && left=$((left + 1))
[ -e /etc/passwd ] && left=$((left + 1))
[ -e /home/user ] && left=$((left + 1))
echo "{\"before\": $before, \"left\": $left}"
