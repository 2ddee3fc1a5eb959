package sandlot.kernel;

import java.io.ByteArrayInputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.stream.Collectors;
import jdk.jshell.Diag;
import jdk.jshell.EvalException;
import jdk.jshell.ExpressionSnippet;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.UnresolvedReferenceException;

/** JShell, whose code runs in this process. */
final class Engine {
    private static final int AGAIN_MS = 400;
    private static final int VALUE_LIMIT = 64 * 1024;
    private static final int TRACEBACK_LIMIT = 256 * 1024;
    // Those of the jshell tool, and what shows things.
    private static final List<String> IMPORTS =
            List.of(
                    "java.io.*",
                    "java.math.*",
                    "java.net.*",
                    "java.nio.file.*",
                    "java.util.*",
                    "java.util.concurrent.*",
                    "java.util.function.*",
                    "java.util.prefs.*",
                    "java.util.regex.*",
                    "java.util.stream.*",
                    "static sandlot.kernel.Display.display");

    private final Outlet outlet;
    private final JShell shell;
    private volatile boolean running;
    private volatile boolean interrupted;

    Engine(Outlet outlet) {
        this.outlet = outlet;
        System.setIn(new ByteArrayInputStream(new byte[0]));
        System.setOut(stream(FileDescriptor.out));
        System.setErr(stream(FileDescriptor.err));
        Display.show = outlet::send;
        holdUpIndexing();
        shell = JShell.builder().executionEngine("local").in(System.in).out(System.out).err(System.err).build();
        shell.addToClasspath(System.getProperty("java.class.path"));
        for (String name : IMPORTS) shell.eval("import " + name + ";");
    }

    /**
     * To complete names JShell would read all classes of the JDK, for seconds; nobody asks for that here. Its one thread
     * for it gets something to wait for first ({@code --add-opens jdk.jshell/jdk.jshell}).
     */
    private static void holdUpIndexing() {
        try {
            Field indexer = Class.forName("jdk.jshell.SourceCodeAnalysisImpl").getDeclaredField("INDEXER");
            indexer.setAccessible(true);
            Callable<Void> never = () -> {
                new CountDownLatch(1).await();
                return null;
            };
            ((ExecutorService) indexer.get(null)).submit(never);
        } catch (ReflectiveOperationException | RuntimeException error) {
            // a JShell that does it otherwise: it is slower, then
        }
    }

    /** The error that ended it, or null. */
    Map<String, Object> run(String code) {
        interrupted = false;
        running = true;
        try {
            return evaluateAll(code);
        } finally {
            running = false;
        }
    }

    /** Stops the code that runs, where it is. */
    void interrupt() {
        if (!running || interrupted) return;
        interrupted = true;
        // Between two snippets there is nothing to stop yet; and a finally block is given time.
        Threads.start("interrupt", () -> {
            while (running && interrupted) {
                shell.stop();
                Threads.sleep(AGAIN_MS);
            }
        });
    }

    private Map<String, Object> evaluateAll(String code) {
        SourceCodeAnalysis analysis = shell.sourceCodeAnalysis();
        for (String rest = code; !rest.isBlank(); ) {
            SourceCodeAnalysis.CompletionInfo part = analysis.analyzeCompletion(rest);
            // What is not complete, or wrong, is left to the compiler: it says why.
            if (interrupted) return error("KeyboardInterrupt", "interrupted", "interrupted");
            String source = part.completeness().isComplete() ? part.source() : rest;
            rest = part.completeness().isComplete() ? part.remaining() : "";
            Map<String, Object> error = evaluate(source, rest.isBlank());
            if (interrupted) return error("KeyboardInterrupt", "interrupted", "interrupted");
            if (error != null) return error;
        }
        return null;
    }

    private Map<String, Object> evaluate(String source, boolean isLast) {
        for (SnippetEvent event : shell.eval(source)) {
            if (event.causeSnippet() != null) continue; // what another snippet's change has done to it
            if (event.status() == Snippet.Status.REJECTED) return rejected(event.snippet());
            if (event.exception() != null) return thrown(event.exception());
            boolean isValue = event.snippet() instanceof ExpressionSnippet || isTemporary(event.snippet());
            if (isLast && isValue && event.value() != null && !interrupted) {
                outlet.send(Display.result(event.value(), "text/plain", true));
            }
        }
        return null;
    }

    private static boolean isTemporary(Snippet snippet) {
        return snippet.subKind() == Snippet.SubKind.TEMP_VAR_EXPRESSION_SUBKIND;
    }

    private Map<String, Object> rejected(Snippet snippet) {
        List<Diag> problems = shell.diagnostics(snippet).filter(Diag::isError).collect(Collectors.toList());
        String source = snippet.source();
        String all = problems.stream().map(problem -> located(problem, source)).collect(Collectors.joining("\n"));
        String first = problems.isEmpty() ? "not accepted" : message(problems.get(0));
        return error("CompileError", first, all);
    }

    private static String located(Diag problem, String source) {
        int at = (int) Math.max(0, Math.min(problem.getPosition(), source.length()));
        int start = source.lastIndexOf('\n', at - 1) + 1;
        int end = source.indexOf('\n', at);
        String line = source.substring(start, end < 0 ? source.length() : end);
        long number = source.substring(0, start).chars().filter(c -> c == '\n').count() + 1;
        return "line " + number + ": error: " + message(problem) + "\n" + line + "\n" + " ".repeat(at - start) + "^";
    }

    /** Without the class that JShell wraps a snippet in, which has no name. */
    private static String message(Diag problem) {
        return problem.getMessage(Locale.ROOT).replaceAll("\n\\s*location: class\\s*$", "");
    }

    private static Map<String, Object> thrown(JShellException thrown) {
        if (thrown instanceof UnresolvedReferenceException unresolved) {
            String what = unresolved.getSnippet().name() + " needs something that is not declared yet";
            return error("UnresolvedReferenceException", what, what);
        }
        String name = ((EvalException) thrown).getExceptionClassName();
        String value = thrown.getMessage() == null ? "" : thrown.getMessage();
        return error(name.substring(name.lastIndexOf('.') + 1), value, traceback(thrown));
    }

    private static String traceback(Throwable thrown) {
        StringBuilder text = new StringBuilder();
        for (Throwable each = thrown; each != null; each = each.getCause()) {
            if (each != thrown) text.append("Caused by: ");
            text.append(each instanceof EvalException known ? known.getExceptionClassName() : each.getClass().getName());
            if (each.getMessage() != null) text.append(": ").append(each.getMessage());
            text.append('\n');
            for (StackTraceElement frame : each.getStackTrace()) text.append(line(frame));
        }
        return text.toString().stripTrailing();
    }

    /** A frame of a snippet has a name that JShell made up: "(#3:1)" is the first line of the third. */
    private static String line(StackTraceElement frame) {
        String name = frame.getClassName();
        String method = name.isEmpty() ? frame.getMethodName() : name + "." + frame.getMethodName();
        return "\tat " + method + "(" + frame.getFileName() + ":" + frame.getLineNumber() + ")\n";
    }

    private static Map<String, Object> error(String name, String value, String traceback) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("type", "error");
        event.put("name", name);
        event.put("value", value.substring(0, Math.min(value.length(), VALUE_LIMIT)));
        event.put("traceback", traceback.substring(0, Math.min(traceback.length(), TRACEBACK_LIMIT)));
        return event;
    }

    private static PrintStream stream(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
    }
}
