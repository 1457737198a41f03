package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/config"
)

// newApp is the command line of one call. cli keeps state in it: it is run once.
func newApp(env *environment) *cli.App {
	commands := []*cli.Command{
		runCommand(env), demoCommand(env), checkCommand(env), versionCommand(env), completionCommand(env), helpCommand(env),
		statusCommand(env), sessionsCommand(env), explainCommand(env), eventsCommand(env), tuneCommand(env), doctorCommand(env),
	}
	commands = append(commands, laterCommands()...)
	for _, c := range commands {
		prepare(c)
	}
	return &cli.App{
		Name:     programName,
		Commands: commands,
		Writer:   env.stdout, ErrWriter: env.stderr,
		Flags:        []cli.Flag{&cli.BoolFlag{Name: "version", Aliases: []string{"v"}}},
		Action:       func(c *cli.Context) error { return programAction(env, c) },
		OnUsageError: usageError,
		// cli would print the error and exit by itself.
		ExitErrHandler:            func(*cli.Context, error) {},
		CustomAppHelpTemplate:     appHelp(commands),
		HideHelpCommand:           true,
		HideVersion:               true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // a path may hold a comma
	}
}

// prepare makes a command, and those below it, complain as this program does.
func prepare(c *cli.Command) {
	c.OnUsageError = usageError
	c.HideHelpCommand = true // or an argument that reads "help" would not be one
	for _, sub := range c.Subcommands {
		prepare(sub)
	}
	if len(c.Subcommands) > 0 && c.Action == nil {
		c.Action = noCommand
	}
}

// programAction is what happens without a command.
func programAction(env *environment, c *cli.Context) error {
	if c.Bool("version") && !c.Args().Present() {
		newVersionReport().print(env)
		return nil
	}
	return noCommand(c)
}

// noCommand is what happens where a command has to follow and none, or an unknown one, does.
func noCommand(c *cli.Context) error {
	known := c.Command.Subcommands
	if word := c.Args().First(); word != "" {
		return usage(c, fmt.Sprintf("there is no command %q%s", word, didYouMean(word, commandNames(known))))
	}
	if c.Command.Name == programName {
		return cli.ShowAppHelp(c)
	}
	return usage(c, "a command is missing: one of "+strings.Join(commandNames(known), ", "))
}

func commandNames(commands []*cli.Command) (names []string) {
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Names()...)
		}
	}
	return names
}

// usageError turns what the flag parser says into one line.
func usageError(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	if word, unknown := strings.CutPrefix(text, "flag provided but not defined: "); unknown {
		text = "there is no flag " + dashed(word) + didYouMean(strings.TrimLeft(word, "-"), flagNames(c.Command))
		if c.Command.Name == programName {
			text += "; a command's flags come after the command"
		}
	}
	return usage(c, text)
}

// dashed writes a flag as it is documented: the parser says -name for --name.
func dashed(word string) string {
	if name := strings.TrimLeft(word, "-"); len(name) > 1 {
		return "--" + name
	}
	return word
}

// flagNames are the long ones: one letter is near to any other.
func flagNames(c *cli.Command) (names []string) {
	for _, f := range c.Flags {
		for _, name := range f.Names() {
			if len(name) > 1 {
				names = append(names, name)
			}
		}
	}
	return names
}

// usage is the error of a command that was called in a wrong way.
func usage(c *cli.Context, what string) error {
	name := c.Command.HelpName
	if name == "" {
		name = programName
	}
	own := strings.TrimSpace(strings.TrimPrefix(name, programName))
	if own != "" {
		own += ": "
	}
	return cli.Exit(fmt.Sprintf("%s%s; see: %s --help", own, what, name), exitUsage)
}

// flagsFirst moves a command's flags before its arguments, where the parser looks for them: `explain chat 192.0.2.7:1
// --json` means what it seems to mean.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 3 || args[len(args)-1] == "--generate-bash-completion" {
		return args
	}
	c := app.Command(args[1])
	if c == nil || c.ArgsUsage == "" {
		return args
	}
	var flags, rest []string
	for words := args[2:]; len(words) > 0; words = words[1:] {
		word := words[0]
		switch {
		case word == "--":
			return slices.Concat(args[:2], flags, words[:1], rest, words[1:])
		case !strings.HasPrefix(word, "-"):
			rest = append(rest, word)
		default:
			flags = append(flags, word)
			if takesValue(c, word) && len(words) > 1 {
				words = words[1:]
				flags = append(flags, words[0])
			}
		}
	}
	return slices.Concat(args[:2], flags, rest)
}

// takesValue tells whether the word after this one belongs to it.
func takesValue(c *cli.Command, word string) bool {
	for _, f := range c.Flags {
		if d, ok := f.(cli.DocGenerationFlag); ok && slices.Contains(f.Names(), strings.TrimLeft(word, "-")) {
			return d.TakesValue()
		}
	}
	return false
}

// noArguments refuses arguments that a command would ignore.
func noArguments(c *cli.Context) error {
	if !c.Args().Present() {
		return nil
	}
	return usage(c, fmt.Sprintf("takes no argument, and %q is one", c.Args().First()))
}

// didYouMean is a question about the nearest of the known words; "" if none is near.
func didYouMean(word string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	best, near := config.Nearest(word, known)
	if !near {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
