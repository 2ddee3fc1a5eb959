package sandlot.kernel;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The Java kernel: {@code perl pipes.pl java … sandlot.kernel.Main}. It speaks the lines of
 * {@code ../python/sandlot_kernel/wire.py}.
 */
public final class Main {
    private static final int PROTOCOL = 1;

    private final Outlet outlet = new Outlet();
    private final Environment environment = new Environment();
    private final Engine engine = new Engine(outlet);
    private final Activity activity = new Activity();
    private final Generation generation = new Generation();
    private Object context;
    private int executions;

    private Main() throws Exception {
        sun.misc.Signal.handle(new sun.misc.Signal("INT"), signal -> engine.interrupt());
    }

    public static void main(String[] arguments) throws Exception {
        Main kernel = new Main();
        if (arguments.length > 0) kernel.rehearse(arguments[0]);
        else kernel.serve();
        System.exit(0);
    }

    /** Answers requests until the host closes the pipe. */
    private void serve() throws Exception {
        var source = new InputStreamReader(new FileInputStream(Descriptors.of(3)), StandardCharsets.UTF_8);
        var lines = new BufferedReader(source, 64 * 1024);
        for (String line; (line = lines.readLine()) != null; ) take(line);
    }

    /** Loads what runs need, for the archive of classes that the template is built with. */
    private void rehearse(String code) {
        for (String cell : List.of(code, "1 +", "nothing()")) run(Map.of("id", "rehearsal", "code", cell));
        activity.reasons();
    }

    private void take(String line) {
        Map<?, ?> request;
        try {
            if (!(Json.parse(line) instanceof Map<?, ?> map) || !(map.get("id") instanceof String)) {
                throw new IllegalArgumentException("a request is an object with an id");
            }
            request = map;
        } catch (IllegalArgumentException error) {
            outlet.answer(event("invalid", "message", String.valueOf(error.getMessage())));
            return;
        }
        answer(request);
    }

    private void answer(Map<?, ?> request) {
        Object id = request.get("id");
        switch (String.valueOf(request.get("op"))) {
            case "hello" -> {
                context = request.get("context");
                outlet.answer(event("ready", "id", id, "protocol", PROTOCOL, "setenv", true, "java", Runtime.version().toString()));
            }
            case "ping" -> outlet.answer(event("pong", "id", id, "context", context, "setenv", true));
            case "activity" -> outlet.answer(event("activity", "id", id, "reasons", activity.reasons()));
            case "run" -> run(request);
            default -> outlet.answer(event("invalid", "message", "no operation " + request.get("op")));
        }
    }

    private void run(Map<?, ?> request) {
        outlet.begin((String) request.get("id"));
        if (generation.hasChanged()) Generation.reseed();
        environment.change(variables(request.get("setenv")));
        Runnable restore = environment.change(variables(request.get("env")));
        Map<String, Object> error;
        try {
            error = engine.run(String.valueOf(request.get("code")));
        } finally {
            restore.run();
        }
        if (error != null) outlet.send(error);
        outlet.end(event("done", "execution_count", ++executions));
    }

    private static Map<String, String> variables(Object given) {
        Map<String, String> variables = new LinkedHashMap<>();
        if (given instanceof Map<?, ?> map) {
            map.forEach((name, value) -> variables.put(String.valueOf(name), String.valueOf(value)));
        }
        return variables;
    }

    private static Map<String, Object> event(String type, Object... fields) {
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("type", type);
        for (int i = 0; i < fields.length; i += 2) event.put((String) fields[i], fields[i + 1]);
        return event;
    }
}
