# The R half of the kernel: a function of the native symbol that takes results, which returns the one that runs
# code. That returns NULL, or the name, text and traceback of the error that ended it.
function(native) {
  emit <- function(is_main, fields) {
    pairs <- as.vector(rbind(names(fields), unlist(fields, use.names = FALSE)))
    .Call(native, enc2utf8(c(if (is_main) "main" else "", pairs)))
    invisible()
  }

  # ── values ────────────────────────────────────────────────────────────────────────────────────────────────

  text_of <- function(value) {
    lines <- utils::capture.output(if (isS4(value)) methods::show(value) else print(value))
    paste(lines, collapse = "\n")
  }

  is_drawing <- function(value) inherits(value, c("ggplot", "trellis", "recordedplot", "gtable", "grob"))

  is_markup <- function(value) inherits(value, c("shiny.tag", "shiny.tag.list", "html"))

  html_of <- function(value) {
    if (is.data.frame(value) || is.matrix(value)) return(table_of(value))
    if (is_markup(value)) return(as.character(value))
  }

  table_of <- function(value) {
    rows <- min(nrow(value), getOption("repr.matrix.max.rows", 60L))
    columns <- min(ncol(value), getOption("repr.matrix.max.cols", 20L))
    part <- value[seq_len(rows), seq_len(columns), drop = FALSE]
    named <- !is.null(rownames(part)) && (is.matrix(part) || is.character(attr(part, "row.names")))
    cells <- if (is.matrix(part)) part else as.matrix(format.data.frame(part))
    cells <- matrix(escape(trimws(cells)), nrow = rows)
    names <- if (is.null(colnames(part))) rep("", columns) else escape(colnames(part))
    head <- paste0("<th>", c(if (named) "", names), "</th>", collapse = "")
    lines <- vapply(seq_len(rows), function(row) {
      title <- if (named) paste0("<th>", escape(rownames(part)[[row]]), "</th>") else ""
      paste0("<tr>", title, paste0("<td>", cells[row, ], "</td>", collapse = ""), "</tr>")
    }, "")
    cut <- if (rows < nrow(value) || columns < ncol(value)) paste0("<caption>", nrow(value), " × ", ncol(value), "</caption>")
    paste(c("<table>", cut, "<thead><tr>", head, "</tr></thead>", "<tbody>", lines, "</tbody>", "</table>"), collapse = "\n")
  }

  escape <- function(text) {
    for (pair in list(c("&", "&amp;"), c("<", "&lt;"), c(">", "&gt;"))) {
      text <- gsub(pair[[1L]], pair[[2L]], text, fixed = TRUE)
    }
    text
  }

  data_of <- function(value) {
    if (!is.data.frame(value) || nrow(value) * ncol(value) > 1e5 || ncol(value) == 0) return(NULL)
    flat <- as.list(value)
    flat[] <- lapply(flat, function(column) if (is.factor(column)) as.character(column) else column)
    as.character(jsonlite::toJSON(flat, na = "null", digits = NA, POSIXt = "ISO8601", force = TRUE))
  }

  show_value <- function(value, is_main) {
    if (is_drawing(value)) return(print(value))
    fields <- list(text = text_of(value))
    # What cannot be made is left out: the text is there.
    fields$html <- tryCatch(html_of(value), error = function(e) NULL)
    fields$data <- tryCatch(data_of(value), error = function(e) NULL)
    emit(is_main, fields)
  }

  # ── plots: a device of ours, which is closed at the end of the run; its pages are results ──────────────────

  folder <- tempfile("plots")
  dir.create(folder)
  devices <- integer()

  open_device <- function(...) {
    grDevices::png(
      file.path(folder, sprintf("%03d-%%04d.png", length(devices) + 1L)),
      width = getOption("repr.plot.width", 7), height = getOption("repr.plot.height", 7), units = "in",
      res = getOption("repr.plot.res", 120), type = "cairo"
    )
    devices <<- c(devices, grDevices::dev.cur())
  }
  options(device = open_device)

  show_plots <- function() {
    if (length(devices) == 0L) return()
    for (device in intersect(devices, grDevices::dev.list())) grDevices::dev.off(device)
    devices <<- integer()
    for (page in sort(list.files(folder, full.names = TRUE))) {
      emit(FALSE, list(png_file = page))
      unlink(page)
    }
  }

  base64 <- function(bytes) gsub("\n", "", jsonlite::base64_enc(bytes), fixed = TRUE)

  # ── errors and warnings ───────────────────────────────────────────────────────────────────────────────────

  describe <- function(error, calls) {
    name <- class(error)[[1L]]
    if (name %in% c("simpleError", "error")) name <- "Error"
    call <- conditionCall(error)
    where <- if (is.null(call) || identical(call, own_call)) "" else paste0(" in ", one_line(call))
    message <- conditionMessage(error)
    c(name, message, paste(c(paste0("Error", where, ": ", message), frames(calls)), collapse = "\n"))
  }

  own_call <- quote(eval(expression, globalenv()))

  # Of the code alone: ours are above it, and those that signal the error below.
  frames <- function(calls) {
    ours <- which(vapply(calls, identical, NA, own_call))
    if (length(ours)) calls <- calls[-seq_len(max(ours))]
    calls <- utils::head(calls, -2L)
    if (length(calls) == 0L) return(character())
    c("Traceback:", paste0(seq_along(calls), ". ", vapply(calls, one_line, "")))
  }

  one_line <- function(call) {
    lines <- deparse(call, nlines = 2L)
    if (length(lines) > 1L) paste(lines[[1L]], "...") else lines
  }

  warn <- function(warning) {
    level <- getOption("warn")
    if (level >= 2L) return()
    if (level >= 0L) {
      call <- conditionCall(warning)
      where <- if (is.null(call) || identical(call, own_call)) "" else paste0("In ", one_line(call), " : ")
      cat("Warning message:\n", where, conditionMessage(warning), "\n", sep = "", file = stderr())
    }
    invokeRestart("muffleWarning")
  }

  # ── running ───────────────────────────────────────────────────────────────────────────────────────────────

  evaluate <- function(expression, is_last) {
    calls <- list()
    tryCatch(
      withCallingHandlers(
        {
          result <- withVisible(eval(expression, globalenv()))
          if (result$visible) show_value(result$value, is_last)
          NULL
        },
        error = function(e) calls <<- sys.calls(),
        warning = warn
      ),
      error = function(e) describe(e, calls),
      interrupt = function(e) c("KeyboardInterrupt", "interrupted", "interrupted"),
      sandlot_quit = function(e) c("SystemExit", e$status, "quit: the run has ended, the interpreter stays")
    )
  }

  run <- function(code) {
    expressions <- tryCatch(parse(text = code, keep.source = TRUE), error = identity)
    if (inherits(expressions, "error")) {
      message <- conditionMessage(expressions)
      return(c("Error", message, paste0("Error: ", message)))
    }
    failure <- NULL
    for (i in seq_along(expressions)) {
      failure <- evaluate(expressions[[i]], i == length(expressions))
      if (!is.null(failure)) break
    }
    show_plots()
    failure
  }

  # ── what code may call ────────────────────────────────────────────────────────────────────────────────────

  leave <- function(save = "default", status = 0, runLast = TRUE) {
    stop(structure(class = c("sandlot_quit", "condition"), list(message = "", call = NULL, status = as.character(status))))
  }
  fields <- c("text", "html", "markdown", "svg", "png", "jpeg", "pdf", "latex", "javascript", "json")
  shown <- lapply(stats::setNames(fields, paste0("display_", fields)), function(field) {
    force(field)
    function(content) emit(FALSE, stats::setNames(list(if (is.raw(content)) base64(content) else as.character(content)), field))
  })
  shown$display <- function(value) show_value(value, FALSE)
  shown$q <- shown$quit <- leave
  attach(shown, name = "sandlot", warn.conflicts = FALSE)

  run
}
