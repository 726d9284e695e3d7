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
            spec = version.get("spec") or model.get("spec") or {}
            labels = ", ".join(version.get("labels") or [])
            classes = ", ".join(spec.get("classes") or [])
            table.add_row(str(model["name"]), str(version["version"]), str(version.get("state", "")), labels, classes)
    open_out().print(table)
