// tries: Spend all time in one regular expression that cannot be interrupted.
// timeout: 5
// gvisor: stopped
// container: stopped
/^(a+)+$/.test(`${"a".repeat(40)}b`);
