// Package dist holds the language's distributions: values that stand wherever a token
// count, turn count or think time does. A leaf: standard library only.
package dist
