"""`dermq models`: what the server can screen with."""

from __future__ import annotations

from cli.options import ApiKeyOption, DataDirOption, JsonOption, ServerOption


def models(
    json: JsonOption = False, server: ServerOption = None, api_key: ApiKeyOption = None, data_dir: DataDirOption = None
) -> None:
    """List the models that are served, with versions, labels and classes."""
    from cli.service import Target, connect
    from cli.summary import make_table
    from cli.terminal import open_out, print_json

    with connect(Target(server, api_key, data_dir)).client as client:
        found = [model for page in client.pages("/v1/models") for model in page]
    if json:
        print_json(found)
        return
    table = make_table("Model", "Version", "State", "Labels", "Classes", right=(1,))
    for model in found:
        for version in model.get("versions") or []:
            classes = ", ".join((model.get("spec") or {}).get("classes") or [])
            labels = ", ".join(version["labels"])
            table.add_row(model["name"], str(version["version"]), version["state"], labels, classes)
    open_out().print(table)
