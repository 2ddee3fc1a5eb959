int x = 5;
String f(int n) { return "v" + n; }
for (int i = 0; i < 3; i++) System.out.println(f(i));
record P(int a) {}
var l = List.of(1, 2).stream().map(n -> n + 1).collect(Collectors.toList());
display("<b>", "text/html");
throw new IllegalStateException("no");
