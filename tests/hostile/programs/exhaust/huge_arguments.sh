# tries: Start programs with the largest arguments and environment, and with too many.
# gvisor: limited
# container: limited
. ./verdict.sh
word=$(head -c 130000 /dev/zero | tr '\0' x)
for n in 1 2 3 4 5 6 7 8 9 10; do words="$words $word"; done
/bin/true $words && first=taken
said=$(/bin/true $words $words $words $words $words 2>&1)
[ $? = 0 ] && said=$(bash -c '/bin/true {1..400000}' 2>&1)
limited "ten large ones ${first:-refused}; then $said"
