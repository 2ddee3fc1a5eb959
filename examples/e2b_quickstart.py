"""A program written for E2B, as it was. Before it: ``sandlot serve``, and ``eval "$(sandlot env e2b)"``."""

from e2b_code_interpreter import Sandbox

with Sandbox.create(timeout=120) as sandbox:
    sandbox.files.write("numbers.csv", "x,y\n1,2\n3,4\n")
    sandbox.run_code("import pandas as pd; table = pd.read_csv('numbers.csv')")
    execution = sandbox.run_code("table.plot(x='x', y='y'); int(table.y.sum())")
    print("sum of y:", execution.text)
    for result in execution.results:
        if result.chart:
            print("chart:", result.chart.type.value, [line.label for line in result.chart.elements])
    print("kernel:", sandbox.commands.run("uname -s").stdout.strip())
    mistake = sandbox.run_code("table.z")
    if mistake.error:
        print("the agent's mistake comes back as data:", mistake.error.name, mistake.error.value)
