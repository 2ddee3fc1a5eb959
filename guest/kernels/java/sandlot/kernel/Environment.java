package sandlot.kernel;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Variables for one run. Java reads the environment once and has no way to change what {@code System.getenv} and new
 * processes see: this writes to the map behind it ({@code --add-opens java.base/java.lang}). Programs written for other
 * interpreters look for variables among the system properties: there they are too, where no property has the name.
 */
final class Environment {
    private final Map<Object, Object> variables;
    private final Method name;
    private final Method value;

    @SuppressWarnings("unchecked")
    Environment() throws ReflectiveOperationException {
        Class<?> holder = Class.forName("java.lang.ProcessEnvironment");
        Field field = holder.getDeclaredField("theEnvironment");
        field.setAccessible(true);
        variables = (Map<Object, Object>) field.get(null);
        name = valueOf(Class.forName("java.lang.ProcessEnvironment$Variable"));
        value = valueOf(Class.forName("java.lang.ProcessEnvironment$Value"));
        System.getenv().forEach(System.getProperties()::putIfAbsent);
    }

    /** Sets {@code changes}; what is returned sets back what was there before. */
    Runnable change(Map<String, String> changes) {
        Map<String, String> before = new HashMap<>();
        changes.forEach((key, to) -> before.put(key, set(key, to)));
        return () -> before.forEach(this::set);
    }

    private String set(String key, String to) {
        try {
            String before = System.getenv(key);
            setProperty(key, before, to);
            if (to == null) variables.remove(name.invoke(null, key));
            else variables.put(name.invoke(null, key), value.invoke(null, to));
            return before;
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void setProperty(String key, String before, String to) {
        if (!Objects.equals(System.getProperty(key), before)) return; // it is one of Java's own, or the program's
        if (to == null) System.clearProperty(key);
        else System.setProperty(key, to);
    }

    private static Method valueOf(Class<?> kind) throws ReflectiveOperationException {
        Method method = kind.getDeclaredMethod("valueOf", String.class);
        method.setAccessible(true);
        return method;
    }
}
