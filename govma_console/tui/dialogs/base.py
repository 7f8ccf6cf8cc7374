"""What all that opens above the main screen shares: how it is left, and what it asks of the core; and the dialogs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, ScreenResultType
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input, Static

from govma_console.tui.background import in_thread
from govma_console.tui.query import Query
from govma_core.text.language import tr

T = TypeVar("T")
_KEYS = tr("   Tab next  Enter press  Esc leave")
Result = dict[str, Any] | None
"""The answer: arguments of the operation or the change; None when the operator left the dialog."""


class Panel(ModalScreen[ScreenResultType]):
    """A screen above the main one. Escape leaves it without an answer, and ends what it has asked of the core."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+c", "leave", show=False)]
    _latest_work: object = None
    _query: Query | None = None

    def find_out(self, work: Callable[[], T], show: Callable[[T], None]) -> None:
        """Call `work` in a thread, then `show` here, or show_problem(). The latest call counts."""
        self.forget()
        self._latest_work = work

        def take(answer: T | None, problem: str) -> None:
            if self._latest_work is not work:
                return
            if problem:
                self.show_problem(problem)
            else:
                show(answer)  # type: ignore[arg-type]  # None only where `work` gives it

        in_thread(self, work, take)

    def ask(self, query: Query, show: Callable[[dict[str, Any]], None]) -> None:
        """Ask the core, then call `show` with the answer, or show_problem()."""
        self.find_out(query.ask, show)
        self._query = query

    def forget(self) -> None:
        """Ignore what find_out() and ask() began, and end a question."""
        self._latest_work = None
        if self._query is not None:
            self._query.give_up()
            self._query = None

    def show_problem(self, problem: str) -> None:
        """Show why the core has no answer."""

    def on_unmount(self) -> None:
        """End what is under way."""
        self.forget()

    def action_leave(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)


class Dialog(Panel[Result]):
    """A question: a title, a text that may come later, and buttons, with the focus on Cancel.

    Subclasses define `heading`, `verb` (the heading where it is ''), the widgets below the text, and the result.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("up", "scroll_text(-1)", show=False),
        Binding("down", "scroll_text(1)", show=False),
        Binding("pageup", "scroll_text(-10)", show=False),
        Binding("pagedown", "scroll_text(10)", show=False),
        Binding("ctrl+home", "scroll_text(-1000000)", show=False),
        Binding("ctrl+end", "scroll_text(1000000)", show=False),
    ]

    heading = verb = ""
    leave = tr("Cancel")
    danger = False

    def __init__(self, heading: str = "", text: str = "") -> None:
        super().__init__()
        self.heading = heading or self.heading
        self.text = text

    def compose(self) -> ComposeResult:
        """Make the title, the text, the options and the buttons."""
        with Vertical(id="dialog"):
            yield Static(Content.assemble(self.heading, (_KEYS, "not bold $muted")), id="dialog-title")
            with VerticalScroll(id="dialog-body", can_focus=False):
                yield Static("", id="dialog-text")
            options = self.options()
            # Borders, title and buttons take six lines; a long text must not push out what is to be answered.
            self._beside = 6 + sum(1 + option.styles.margin.height for option in options) + 2 * bool(options)
            yield from options
            with Horizontal(id="dialog-buttons"):
                yield Button(self.leave, id="leave", compact=True)
                verb = self.verb or self.heading
                yield Button(verb, id="do", variant="error" if self.danger else "primary", compact=True)

    def options(self) -> list[Widget]:
        """Return the widgets between the text and the buttons."""
        return []

    def on_mount(self) -> None:
        """Focus Cancel: Enter pressed too often does nothing."""
        self.query_one("#leave").focus()
        self.opened()

    def on_resize(self) -> None:
        """Leave the text the room that the rest does not need."""
        self.query_one("#dialog-body").styles.max_height = max(3, self.app.size.height * 9 // 10 - self._beside)

    def opened(self) -> None:
        """Show the text, or begin to work it out; called once the dialog is on the screen."""
        self.say(self.text)

    def say(self, *lines: Content | str, ready: bool = True) -> None:
        """Show the text; `ready` makes the verb available."""
        # A text of its own: join() would leave control sequences in it.
        contents = (Content(line) if isinstance(line, str) else line for line in lines)
        self.query_one("#dialog-text", Static).update(Content("\n").join(contents))
        self.query_one("#do", Button).disabled = not ready

    def wait(self, text: str) -> None:
        """Show what the text waits for."""
        self.say(Content.styled(text, "$muted"), ready=False)

    def show_problem(self, problem: str) -> None:
        """Show why there is nothing to confirm."""
        self.say(Content.styled(problem, "$text-error"), ready=False)

    def has_unticked(self, choice: str) -> bool:
        """Tell whether there is this choice, and it was not made."""
        return any(not toggle.value for toggle in self.query(f"#{choice}").results(Toggle))

    def result(self) -> Result:
        """Return the answer that the button of the verb gives."""
        return {}

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer with the result, or leave."""
        event.stop()
        self.dismiss(self.result() if event.button.id == "do" else None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take up Enter in a field."""
        event.stop()
        self.entered(event.input)

    def entered(self, field: Input) -> None:
        """Take Enter for the button of the verb."""
        self.query_one("#do", Button).press()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Take up what is typed into a field."""
        event.stop()
        self.edited(event.input)

    def edited(self, field: Input) -> None:
        """Adapt the dialog to what is being typed."""

    def action_scroll_text(self, lines: int) -> None:
        """Scroll a text that is longer than the dialog."""
        self.query_one("#dialog-body").scroll_relative(y=lines, animate=False)


class AskDialog(Dialog):
    """Asks for a text; the answer holds it as `text`."""

    def __init__(self, heading: str, text: str, *, verb: str = "", value: str = "", placeholder: str = "") -> None:
        super().__init__(heading, text)
        self.verb = verb
        self._value, self._placeholder = value, placeholder

    def options(self) -> list[Widget]:
        """Return the field."""
        return [Input(self._value, placeholder=self._placeholder, id="answer", compact=True)]

    def opened(self) -> None:
        """Show what the text is for; nothing can be lost here, so the field has the focus."""
        super().opened()
        self.query_one("#answer").focus()

    def result(self) -> Result:
        """Return the text."""
        return {"text": self.query_one("#answer", Input).value.strip()}


class TypedDialog(Dialog):
    """A question whose verb becomes available when a word is typed into the field `#confirm`."""

    danger = True
    _word = _advice = ""

    def demand(self, word: str, placeholder: str = "", advice: str = "") -> None:
        """Have a word typed; `advice` is the sentence for another one. '' while there is nothing to confirm."""
        self._word, self._advice = word, advice
        field = self.query_one("#confirm", Input)
        field.value, field.placeholder = "", placeholder
        field.disabled, field.display = not word, bool(word)

    def edited(self, field: Input) -> None:
        """Make the button available when the word is typed."""
        self.query_one("#do", Button).disabled = not self._word or field.value.strip() != self._word

    def entered(self, field: Input) -> None:
        """Take Enter for the button when the word is typed."""
        if self.query_one("#do", Button).disabled:
            self.notify(self._advice, severity="warning", markup=False)
        super().entered(field)


class Toggle(Checkbox):
    """`[x]` or `[ ]`, and what it means."""

    def __init__(self, label: str, value: bool = False, *, id: str) -> None:
        super().__init__(label, value, id=id, compact=True)

    @property
    def _button(self) -> Content:
        return Content("[x]" if self.value else "[ ]")
