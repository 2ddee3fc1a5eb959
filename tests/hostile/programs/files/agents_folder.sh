# tries: Replace, move, remove and cover the agent's program and folder.
# user: root
# gvisor: contained: its folder can be moved, its file not changed
# container: contained: its folder can be moved, its file not changed
. ./verdict.sh
cp /bin/true /tmp/new
before=$(cksum </.sandlot/agent)
for attempt in "rm -f /.sandlot/agent" "mv /.sandlot/agent /tmp/" "mv -f /tmp/new /.sandlot/agent" "cp /tmp/new /.sandlot/agent" \
  "ln -sf /tmp/new /.sandlot/agent" "chmod 777 /.sandlot/agent" "truncate -s 0 /.sandlot/agent" "mv /.sandlot /other"; do
  said=$($attempt 2>&1) && done="$done [$attempt]"
done
for agent in /.sandlot/agent /other/agent; do
  [ ! -e $agent ] || [ "$(cksum <$agent)" = "$before" ] || escaped "the agent is another:$done"
done
[ -n "$done" ] && contained "it runs on:$done"
denied "$said"
