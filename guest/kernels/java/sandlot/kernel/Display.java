package sandlot.kernel;

import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/** What cells may call to show something before their end; imported in every one. */
public final class Display {
    private static final int RESULT_LIMIT = 31 * 1024 * 1024;
    private static final Map<String, String> FIELDS =
            Map.ofEntries(
                    Map.entry("text/plain", "text"),
                    Map.entry("text/html", "html"),
                    Map.entry("text/markdown", "markdown"),
                    Map.entry("image/svg+xml", "svg"),
                    Map.entry("image/png", "png"),
                    Map.entry("image/jpeg", "jpeg"),
                    Map.entry("application/pdf", "pdf"),
                    Map.entry("text/latex", "latex"),
                    Map.entry("application/javascript", "javascript"));

    static Consumer<Map<String, Object>> show = event -> {};

    private Display() {}

    /** Shows the text of {@code value}. */
    public static void display(Object value) {
        display(value, "text/plain");
    }

    /** Shows {@code content} as what it is: {@code display("<b>…", "text/html")}; bytes for pictures. */
    public static void display(Object content, String mime) {
        show.accept(result(content, mime, false));
    }

    static Map<String, Object> result(Object content, String mime, boolean isMain) {
        String text = content instanceof byte[] bytes ? Base64.getEncoder().encodeToString(bytes) : String.valueOf(content);
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("type", "result");
        event.put("is_main", isMain);
        if (text.length() > RESULT_LIMIT / 2) {
            event.put("text", "[" + mime + " is left out: " + text.length() + " characters are too many for one result]");
            return event;
        }
        String field = FIELDS.get(mime);
        if (field != null) event.put(field, text);
        else event.put("extra", Map.of(mime, text));
        return event;
    }
}
